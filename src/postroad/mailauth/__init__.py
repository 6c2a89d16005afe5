"""What mail claims to be, proved or refuted, and reverse-paths of ours that only we can have made.

What each file does stands at its top; nothing is re-exported here. The layer this package
stands in is in docs/internals/layers.md.
"""
