"""What went wrong with an HTTP request, in a few words for people, whichever part of the client library met it.

The library's own texts show how it is made inside: classes, flags, lines of OpenSSL's source. Of an error that it wraps
only what happened is told, in the words that the rest of `net` uses for it.
"""

import aiohttp

from postroad.net.faults import describe_error


def words_of(error: Exception) -> str:
    """`error`, which a request ended with: "cannot connect to host:443: connection refused"."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return f"the certificate of {error.host} is not accepted: {_certificate_words(error.certificate_error)}"
        case aiohttp.ClientConnectorError():
            return f"cannot connect to {error.host}:{error.port}: {describe_error(error.os_error)}"
        case aiohttp.ServerDisconnectedError():
            return "the connection was closed without an answer"
        case aiohttp.ClientOSError():
            return describe_error(error)
        case _:
            return str(error) or type(error).__name__


def _certificate_words(error: Exception) -> str:
    return str(getattr(error, "verify_message", "") or error)
