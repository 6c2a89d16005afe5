"""Proxies that mail may leave by: what they are, and the handshake that makes a stream one to the target.

SOCKS5 (RFC 1928) asks the proxy and waits for its answer; the PROXY protocol's header is sent to HAProxy, which
connects on. The caller's deadline holds over all. Who is logged in is a secret: no text of ours has it.
"""

from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from postroad.model.errors import EgressError
from postroad.net.proxyproto import encode_header
from postroad.net.socks5 import LIMIT, Socks5

SOCKS5: Final = "socks5"
HAPROXY: Final = "haproxy"


class Proxy(Struct, frozen=True):
    """One proxy: `scheme` is SOCKS5 or HAPROXY."""

    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = ""

    def __str__(self) -> str:
        """Without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    def __repr__(self) -> str:
        """As `str`: a secret must not get into a traceback."""
        return f"Proxy({self})"


class HandshakeStream(Protocol):
    """What a handshake needs of a stream."""

    @property
    def local(self) -> str:
        """Our end."""

    def write(self, data: bytes) -> None:
        """Send."""

    async def read(self, timeout: float) -> bytes:
        """Whatever arrived."""

    def unread(self, data: bytes) -> None:
        """Put `data` back before what is unread."""


def parse_proxy(text: str) -> Proxy:
    """The proxy of "socks5://[user:password@]host:port" or "haproxy://host:port".

    ValueError tells what is accepted, and never repeats the text: it may hold a password.
    """
    example = '"socks5://user:password@host:1080" or "haproxy://host:port"'
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        raise ValueError(f"not a proxy; write {example}") from None
    host = parts.hostname or ""
    if parts.scheme not in (SOCKS5, HAPROXY) or not host or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"not a proxy; write {example}")
    if not port:
        raise ValueError("the proxy has no port between 1 and 65535")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if parts.scheme == HAPROXY and (user or password):
        raise ValueError("HAProxy takes no user and password; it must know us by our address")
    if bool(user) != bool(password):
        raise ValueError("a SOCKS5 proxy takes a user and a password, or neither; write % signs in them as %25")
    if max(len(user.encode()), len(password.encode())) > LIMIT:
        raise ValueError(f"user and password have at most {LIMIT} octets each (RFC 1929 2)")
    return Proxy(parts.scheme, host, port, user, password)


async def shake_hands(
    stream: HandshakeStream, proxy: Proxy, address: str, port: int, *, source: str, timeout: float
) -> None:
    """Make `stream`, which is connected to `proxy`, one to `address` and `port`; `source`: our address in the header.

    EgressError when the proxy is the trouble, PeerError when the target is.
    """
    if proxy.scheme == HAPROXY:
        local_port = int(stream.local.rpartition(":")[2])
        stream.write(encode_header(source, local_port, address, port))
        return
    session = Socks5(address, port, proxy.user, proxy.password)
    stream.write(session.begin())
    while not session.is_done:
        data = await stream.read(timeout)
        if not data:
            raise EgressError("closed the connection during the handshake")
        out = session.receive(data)
        if out:
            stream.write(out)
    stream.unread(session.rest)
