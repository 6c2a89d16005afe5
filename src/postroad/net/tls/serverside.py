"""Our end of one TLS connection as the server: what the client called us, and a last word when it is turned away.

OpenSSL has an alert ready when a handshake fails, which says why (RFC 8446 6.2); event loops close the connection and
leave it unsent, so that a client's administrator saw a lost connection and no more. It is sent here, before the loop is
told of the failure: behind whatever else waits to be sent nothing is, and what the socket does not take is lost.
"""

import os
import ssl
from asyncio import Transport
from contextlib import suppress


class ServerSide(ssl.SSLObject):
    """One connection; it remembers the name that the client called us by, and our certificate."""

    sni = ""
    end_point = b""
    below: Transport | None = None
    outgoing: ssl.MemoryBIO | None = None

    def do_handshake(self) -> None:
        """As the library does; who is turned away is told why."""
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            self._say_why()
            raise
        self.below = self.outgoing = None

    def _say_why(self) -> None:
        below, outgoing = self.below, self.outgoing
        self.below = self.outgoing = None
        if below is None or outgoing is None or not outgoing.pending or below.get_write_buffer_size():
            return
        socket = below.get_extra_info("socket")
        with suppress(OSError):  # it need not be told
            if socket is not None:
                os.write(socket.fileno(), outgoing.read())


class ServerContext(ssl.SSLContext):
    """A context whose connections are `ServerSide`; `newest` is the last one that was made, for who began it."""

    newest: ServerSide | None = None

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002  # as it is in the library
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """As the library does."""
        made = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        if isinstance(made, ServerSide):
            made.outgoing = outgoing
            self.newest = made
        return made
