"""Aliases: which recipients stand for others, from files, patterns, the configuration and databases.

What each file does stands at its top; nothing is re-exported here. The layer this package
stands in is in docs/internals/layers.md.
"""
