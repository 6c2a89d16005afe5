"""Which recipients exist: lists, databases, directories, and the next hop itself, asked at RCPT.

What each file does stands at its top; nothing is re-exported here. The layer this package
stands in is in docs/internals/layers.md.
"""
