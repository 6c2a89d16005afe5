"""Messages as octets: header sections, trace fields, MIME conversion, delivery status notifications.

Pure: no I/O and no clock; content is never re-serialised unless a next hop cannot take it as it is.
"""
