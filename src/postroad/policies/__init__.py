"""Built-in policies, one a file; copy one to start your own.

What each file does stands at its top; nothing is re-exported here. The layer this package
stands in is in docs/internals/layers.md.
"""
