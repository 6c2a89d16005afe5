"""The formats of the log, one module each: a record in, the octets of whole lines out.

Invariant: whatever a peer put into a record, a line stays one line of printable characters.
"""
