"""Where `[[rates]]` are counted: the table that all processes share, a server that nodes share, and what is kept.

The table is the fallback of the server, so that a limit never stands still.
"""
