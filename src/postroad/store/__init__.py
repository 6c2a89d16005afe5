"""What is looked up beside the spool: tables in files and in databases.

What each file does stands at its top; nothing is re-exported here. The layer this package
stands in is in docs/internals/layers.md.
"""
