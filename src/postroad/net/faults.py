"""What went wrong with a connection, in a few words for people: "connection refused", "no route to host".

Errors of the operating system that mail meets have words of ours; others have the system's.
"""

import errno
import os
import ssl
from types import MappingProxyType
from typing import Final

_WORDS: Final = MappingProxyType(
    {
        errno.ECONNREFUSED: "connection refused",
        errno.ECONNRESET: "connection reset by peer",
        errno.EPIPE: "connection closed by peer",
        errno.ETIMEDOUT: "connection timed out",
        errno.EHOSTUNREACH: "no route to host",
        errno.ENETUNREACH: "network is unreachable",
        errno.EADDRNOTAVAIL: "source address is not on this host",
        errno.ENOENT: "no such socket",
        errno.EACCES: "permission denied",
        errno.EMFILE: "too many open files",
        errno.ENFILE: "too many open files on this host",
    }
)


def describe_error(error: OSError) -> str:
    """`error` in a few words: "connection refused", "no route to host"."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS failed: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {(error.reason or str(error)).replace('_', ' ').lower()}"
    if not error.errno:
        return str(error) or type(error).__name__
    return _WORDS.get(error.errno) or os.strerror(error.errno).lower()
