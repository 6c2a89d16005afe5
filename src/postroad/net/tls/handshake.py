"""The handshake of TLS as the server, over a connection that is open: STARTTLS, or TLS from the first octet on.

Octets that came before the handshake could be begun belong to it: an event loop may read once from a new connection
before its protocol gets its turn. What fails is a PeerError in words for people; the connection is of no use then.
"""

import asyncio
import ssl
from collections.abc import Callable
from types import MappingProxyType
from typing import Final, cast

from msgspec import Struct

from postroad.model.errors import PeerError
from postroad.model.identity import TlsState
from postroad.net.tls.server import state_of
from postroad.net.tls.serverside import ServerContext

SHUTDOWN_SECONDS: Final = 5.0  # for a peer to confirm the end of TLS
_WORDS: Final = MappingProxyType(
    {
        "UNSUPPORTED_PROTOCOL": "the client offers only versions of TLS that are not allowed here",
        "UNKNOWN_PROTOCOL": "what the client sent is not TLS",
        "WRONG_VERSION_NUMBER": "what the client sent is not TLS",
        "HTTP_REQUEST": "the client spoke HTTP",
        "HTTPS_PROXY_REQUEST": "the client spoke HTTP",
        "NO_SHARED_CIPHER": "the client offers no cipher that is allowed here",
        "NO_SUITABLE_SIGNATURE_ALGORITHM": "the client offers no signature that our key can make",
        "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the client has no certificate, and this listener requires one",
        "CERTIFICATE_VERIFY_FAILED": "the client's certificate is not accepted",
        "TLSV1_ALERT_UNKNOWN_CA": "the client does not trust who signed our certificate",
        "SSLV3_ALERT_BAD_CERTIFICATE": "the client does not accept our certificate",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the client does not accept our certificate",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the client says that our certificate has expired",
        "TLSV1_ALERT_PROTOCOL_VERSION": "the client refuses the versions of TLS that are allowed here",
        "UNEXPECTED_EOF_WHILE_READING": "the client closed the connection",
    }
)


class Secured(Struct, frozen=True):
    """A connection under TLS: its transport, what was agreed on, and the ssl module's view of it."""

    transport: asyncio.Transport
    state: TlsState
    connection: ssl.SSLObject
    is_resumed: bool


async def secure(
    transport: asyncio.Transport,
    protocol: asyncio.Protocol,
    context: ssl.SSLContext,
    *,
    seconds: float,
    early: Callable[[], bytes],
) -> Secured:
    """The connection under TLS; PeerError when that fails or takes longer than `seconds`.

    `early` gives the octets that were read before TLS could be put below `protocol`.
    """
    loop = asyncio.get_running_loop()
    transport.pause_reading()  # until TLS reads
    shaking = asyncio.ensure_future(
        loop.start_tls(
            transport,
            protocol,
            context,
            server_side=True,
            ssl_handshake_timeout=seconds,
            ssl_shutdown_timeout=SHUTDOWN_SECONDS,
        )
    )
    # Its first step, now scheduled, puts TLS below and schedules what makes it ready: behind that comes what was read.
    loop.call_soon(lambda: loop.call_soon(_begin, transport, context, early()))
    try:
        made = await shaking
    except ssl.SSLError as error:
        raise PeerError(_words(error)) from None
    except ConnectionAbortedError:
        raise PeerError(f"not done within {seconds:g}s") from None
    except OSError as error:
        broken = f"the connection broke: {error.strerror.lower()}" if error.strerror else ""
        raise PeerError(broken or "the client closed the connection") from None
    finally:
        if not shaking.done():
            shaking.cancel()
    connection = None if made is None else made.get_extra_info("ssl_object")
    if made is None or connection is None:
        raise PeerError("the client closed the connection")
    return Secured(made, state_of(connection), connection, connection.session_reused is True)


def _words(error: ssl.SSLError) -> str:
    plain = (error.reason or str(error)).replace("_", " ").lower()
    words = _WORDS.get(error.reason)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{words or plain}: {error.verify_message}"
    return f"{words} ({plain})" if words else plain


def _begin(transport: asyncio.Transport, context: ssl.SSLContext, octets: bytes) -> None:
    """TLS is below our protocol and has made its end of the connection just now: it may have the transport for a word.

    `octets` are given to the protocol that it has put there, as the transport would.
    """
    if isinstance(context, ServerContext) and context.newest is not None:
        context.newest.below, context.newest = transport, None
    if not octets or transport.is_closing():
        return
    below = cast("asyncio.BufferedProtocol", transport.get_protocol())
    while octets:
        room = memoryview(below.get_buffer(len(octets)))
        part = octets[: len(room)]
        room[: len(part)] = part
        below.buffer_updated(len(part))
        octets = octets[len(part) :]
