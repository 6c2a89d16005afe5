"""Looks a configured server over: what `postroad doctor` asks of it, its host and its surroundings.

What each file does stands at its top; nothing is re-exported here. The layer this package
stands in is in docs/internals/layers.md.
"""
