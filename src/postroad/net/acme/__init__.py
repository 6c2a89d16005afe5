"""Certificates from a CA that speaks ACME: the order, the way to the CA, and the proofs of names (RFC 8555).

The library blocks and is imported late: orders are carried out in a thread.
"""
