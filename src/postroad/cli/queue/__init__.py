"""`postroad queue`: looking at what waits, and orders to it.

Filters and reasons are shared by all of its commands.
"""
