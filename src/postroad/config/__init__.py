"""The configuration: one TOML file and its conf.d, decoded into the typed settings of every package.

Anything unknown, of the wrong type or contradictory is an error with its file and line, and all of
them are told at once: a broken configuration never starts anything.
"""
