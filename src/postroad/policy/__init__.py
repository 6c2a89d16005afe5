"""The extension point: contexts, verdicts and the chain that runs policies.

What each file does stands at its top; nothing is re-exported here. The layer this package
stands in is in docs/internals/layers.md.
"""
