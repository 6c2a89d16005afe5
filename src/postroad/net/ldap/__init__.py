"""A directory over the wire: several servers behind one door, with the part of LDAP that Postroad needs (RFC 4511).

`directory` is what others get; the codec and the filters are pure.
"""
