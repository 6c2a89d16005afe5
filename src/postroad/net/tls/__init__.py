"""TLS on both sides: contexts, certificates as they lie in files, handshakes, and what peers show of themselves.

`server` and `client` are the two doors; what makes a certificate good for DANE is here, too.
"""
