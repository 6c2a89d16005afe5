"""A server of several processes: the supervisor, its children, and what they show each other.

The supervisor never touches mail, and the processes meet in the spool alone.
"""
