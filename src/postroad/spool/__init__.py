"""The spool: accepted mail on disk, from the 250 to the last recipient's end.

Journals are the truth, the index is a cache. `spool.py` is the door; only this package writes mail
to disk. RFC 5321 4.2.5 and 6.1: what was acknowledged is this server's responsibility.
"""
