"""Listeners: the side that takes mail from peers.

What each file does stands at its top; nothing is re-exported here. The layer this package
stands in is in docs/internals/layers.md.
"""
