"""TLS contexts for outgoing connections, and what a connection negotiated in words.

Opportunistic TLS takes any certificate: it keeps passive listeners out and nothing more (RFC 7435 3,
RFC 3207 6). Whether a delivery falls back to plain text is delivery's decision, not made here.
"""

import ssl
from pathlib import Path

from postroad.model.errors import ConfigError


def opportunistic_context() -> ssl.SSLContext:
    """A client context without verification, TLS 1.2 or later (RFC 8996 2), sessions resumed where the peer can."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class ClientCertificate:
    """Opportunistic contexts that prove who we are, made anew when a file of the certificate or key changes.

    A file that cannot be read any more, or a pair half replaced, leaves the last good context in force.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        """Read both files now; ConfigError when that fails."""
        self._certificate = certificate
        self._key = key
        self._seen = self._stamps()
        self._context = self._load()

    def context(self) -> ssl.SSLContext:
        """The context for a new connection."""
        seen = self._stamps()
        if seen != self._seen:
            self._seen = seen
            try:
                self._context = self._load()
            except ConfigError:
                self._seen = ()  # look again with the next connection
        return self._context

    def _load(self) -> ssl.SSLContext:
        context = opportunistic_context()
        try:
            context.load_cert_chain(self._certificate, self._key, password=_no_password)
        except (OSError, ValueError) as error:
            words = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            raise ConfigError([f"{self._certificate} with the key {self._key}: {words}"]) from None
        return context

    def _stamps(self) -> tuple[tuple[int, int, int], ...]:
        try:
            return tuple(
                (found.st_mtime_ns, found.st_size, found.st_ino)
                for found in (self._certificate.stat(), self._key.stat())
            )
        except OSError:
            return ()


def _no_password() -> str:
    raise ValueError("the key is encrypted; store it without a passphrase")


def describe(connection: ssl.SSLObject | ssl.SSLSocket | None) -> str:
    """What was negotiated, as in `TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)`; "" without TLS."""
    cipher = connection.cipher() if connection is not None else None
    if connection is None or cipher is None:
        return ""
    name, _, bits = cipher
    return f"{connection.version()} with cipher {name} ({bits}/{bits} bits)"
