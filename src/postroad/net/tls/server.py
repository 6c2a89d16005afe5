"""TLS as the server: contexts for incoming connections, the certificate by the name asked for, what was negotiated.

A context refuses what is not safe (RFC 8996 2: nothing below TLS 1.2; forward secrecy and authenticated encryption
alone; no renegotiation, no compression) unless a listener is for old devices by an explicit option. The client's name
for us (SNI, RFC 6066 3) chooses the certificate; an unknown one gets the default. A client's certificate, where one is
asked for, must be signed by the listener's own authorities, or the handshake fails.
"""

import hashlib
import ssl
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct

from postroad.model.errors import ConfigError
from postroad.model.identity import TlsState
from postroad.net.tls.exporter import Exporter
from postroad.net.tls.keyfiles import KeyPair
from postroad.net.tls.serverside import ServerContext, ServerSide

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; those of TLS 1.3 are all good
OLD_CIPHERS: Final = "DEFAULT:@SECLEVEL=0"  # what TLS 1.0 and 1.1 need of OpenSSL 3
_NAME_LIMIT: Final = 255

ClientCertificates = Literal["off", "request", "require"]


class Security(Struct, frozen=True):
    """What one listener asks of TLS; `authorities` are certificates in PEM that sign those of clients."""

    minimum_version: Literal["TLSv1.2", "TLSv1.3"] = "TLSv1.2"
    ciphers: str = CIPHERS
    is_legacy: bool = False
    client_certificates: ClientCertificates = "off"
    authorities: str = ""


class Contexts:
    """The contexts of one listener: a default, and others by name."""

    def __init__(self, security: Security, pairs: Sequence[tuple[KeyPair, Sequence[str]]]) -> None:
        """`pairs` with the names each is for, its own when there are none; the first is the default, and wins."""
        self._by_name: dict[str, tuple[ssl.SSLContext, bytes]] = {}
        made = [(_context(pair, security), pair.facts.end_point) for pair, _ in pairs]
        for one, (pair, names) in zip(made, pairs, strict=True):
            for name in names or pair.facts.names:
                self._by_name.setdefault(name, one)
        self._first, self._end_point = made[0]
        self._first.sni_callback = self._choose

    @property
    def context(self) -> ssl.SSLContext:
        """The one to begin a handshake with."""
        return self._first

    def _choose(self, connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        """Called by OpenSSL once it has read the client's first message."""
        end_point = self._end_point
        if name:
            found = find(self._by_name, name.lower().rstrip("."))
            if found is not None:
                context, end_point = found
                if context is not self._first:
                    connection.context = context
        if isinstance(connection, ServerSide):
            connection.sni = name[:_NAME_LIMIT] if name and name.isprintable() else ""
            connection.end_point = end_point


def find(by_name: Mapping[str, tuple[ssl.SSLContext, bytes]], name: str) -> tuple[ssl.SSLContext, bytes] | None:
    """What is for `name`: by itself, else by `*.` and all after its first label (RFC 9525 6.3)."""
    return by_name.get(name) or by_name.get(f"*.{name.partition('.')[2]}")


def _context(pair: KeyPair, security: Security) -> ssl.SSLContext:
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslobject_class = ServerSide
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    if security.is_legacy:
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED  # SSL 2 and 3 are off by themselves
        context.set_ciphers(OLD_CIPHERS)
    else:
        context.minimum_version = ssl.TLSVersion[security.minimum_version.replace(".", "_")]
        context.set_ciphers(security.ciphers)
    if security.client_certificates != "off":
        is_needed = security.client_certificates == "require"
        context.load_verify_locations(cadata=security.authorities)
        context.verify_mode = ssl.CERT_REQUIRED if is_needed else ssl.CERT_OPTIONAL
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a client's own certificate may be trusted, too
    try:
        pair.load_into(context)
    except ssl.SSLError as error:
        raise ConfigError([f"{pair.files.certificate}: cannot be used: {error.reason or error}"]) from None
    return context


def state_of(connection: ssl.SSLObject) -> TlsState:
    """What was negotiated."""
    name, _, bits = connection.cipher() or ("", "", 0)
    sni = connection.sni if isinstance(connection, ServerSide) else ""
    octets = connection.getpeercert(binary_form=True)
    if octets is None:
        return TlsState(connection.version() or "", name, bits, sni)
    said: Mapping[str, object] = connection.getpeercert() or {}
    return TlsState(
        connection.version() or "",
        name,
        bits,
        sni,
        hashlib.sha256(octets).hexdigest(),
        _subject(said.get("subject")),
        _names(said.get("subjectAltName")),
        is_verified=True,  # who is not has no connection
    )


def bindings_of(connection: ssl.SSLObject, exporter: Exporter) -> dict[str, bytes]:
    """What an authentication can be bound to, so that nobody in the middle can pass it on (RFC 5056 2), by type.

    tls-server-end-point is the digest of our certificate (RFC 5929 4). Clients that know no more than one other type
    bind to tls-unique before TLS 1.3 and to tls-exporter (RFC 9266 2) since: without that one there is none.
    """
    is_new = connection.version() == "TLSv1.3"
    kind = "tls-exporter" if is_new else "tls-unique"
    octets = exporter.binding(connection) if is_new else connection.get_channel_binding("tls-unique")
    if not octets:
        return {}
    found = {kind: octets}
    if isinstance(connection, ServerSide) and connection.end_point:
        found["tls-server-end-point"] = connection.end_point
    return found


def _subject(found: object) -> str:
    """`commonName=alice, organizationName=Example`, as the certificate has it."""
    return ", ".join(f"{name}={value}" for group in _groups(found) for name, value in _pairs(group))


def _names(found: object) -> tuple[str, ...]:
    """Its alternative names with their kinds, `DNS:host.example.com`."""
    return tuple(f"{kind}:{value}" for kind, value in _pairs(found))


def _groups(found: object) -> tuple[object, ...]:
    return found if isinstance(found, tuple) else ()


def _pairs(found: object) -> list[tuple[str, str]]:
    return [(str(one[0]), str(one[1])) for one in _groups(found) if isinstance(one, tuple) and len(one) == 2]
