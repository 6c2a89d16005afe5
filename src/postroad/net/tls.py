"""TLS contexts for outgoing connections, and what a connection negotiated in words.

Opportunistic TLS takes any certificate: it keeps passive listeners out and nothing more (RFC 7435 3,
RFC 3207 6). Whether a delivery falls back to plain text is delivery's decision, not made here.
"""

import ssl


def opportunistic_context() -> ssl.SSLContext:
    """A client context without verification, TLS 1.2 or later (RFC 8996 2), sessions resumed where the peer can."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def describe(connection: ssl.SSLObject | ssl.SSLSocket | None) -> str:
    """What was negotiated, as in `TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)`; "" without TLS."""
    cipher = connection.cipher() if connection is not None else None
    if connection is None or cipher is None:
        return ""
    name, _, bits = cipher
    return f"{connection.version()} with cipher {name} ({bits}/{bits} bits)"
