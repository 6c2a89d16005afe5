"""A client's side of a session for tests of a server: say a line, hear the reply; over a connection or in memory.

In memory a session comes from an address of our choice, so that it is judged as a stranger's; over a connection it is
the running server that answers. Every wait has a deadline, and whatever goes wrong is a PeerError in words for people.
"""

import asyncio
import ssl
from collections import deque
from typing import Final, Protocol

from postroad.listener.session import Conversation
from postroad.listener.terms import Terms
from postroad.model.errors import PeerError
from postroad.model.reply import Reply
from postroad.net.stream import Stream, open_stream
from postroad.smtp.clientparse import ReplyReader

REPLY_SECONDS: Final = 45.0  # longer than any policy may take


class Talk(Protocol):
    """A session that was begun."""

    async def hear(self) -> Reply:
        """The next reply; PeerError when none comes."""

    async def say(self, line: str) -> Reply:
        """Send a command, hear its reply."""

    def close(self) -> None:
        """Leave."""


class LiveTalk:
    """A session over a connection."""

    def __init__(self, stream: Stream) -> None:
        """Over `stream`."""
        self._stream = stream
        self._reader = ReplyReader()
        self._heard: deque[Reply] = deque()

    async def hear(self) -> Reply:
        """The next reply; PeerError when none comes."""
        while not self._heard:
            data = await self._stream.read(REPLY_SECONDS)
            if not data:
                raise PeerError("connection closed by peer")
            self._heard.extend(self._reader.feed(data))
        return self._heard.popleft()

    async def say(self, line: str) -> Reply:
        """Send a command, hear its reply."""
        self._stream.write(f"{line}\r\n".encode())
        return await self.hear()

    async def secure(self, context: ssl.SSLContext, name: str) -> str:
        """Begin TLS after a 220 to STARTTLS, or at once; what was agreed on."""
        await self._stream.start_tls(context, name, REPLY_SECONDS)
        return self._stream.tls

    def close(self) -> None:
        """Leave."""
        self._stream.abort()


async def connect(address: str, port: int, source: str = "") -> LiveTalk:
    """A connection to the server, from the address `source` where one is given; nothing is heard yet."""
    return LiveTalk(await open_stream(address, port, source=source, timeout=REPLY_SECONDS))


class MemoryTalk(asyncio.Transport):
    """A session with our own conversation, without a connection: the peer is `ip`."""

    def __init__(self, terms: Terms, ip: str) -> None:
        """Begin it, on `terms`; the banner is the first thing to hear."""
        super().__init__({"peername": (ip, 40000)})
        self._reader = ReplyReader()
        self._heard: deque[Reply] = deque()
        self._news = asyncio.Event()
        self._is_closed = False
        self._conversation = Conversation(terms, "doctor")
        self._conversation.connection_made(self)

    async def hear(self) -> Reply:
        """The next reply; PeerError when none comes."""
        try:
            async with asyncio.timeout(REPLY_SECONDS):
                while not self._heard:
                    if self._is_closed:
                        raise PeerError("session closed")
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise PeerError("no reply in time") from None
        return self._heard.popleft()

    async def say(self, line: str) -> Reply:
        """Send a command, hear its reply."""
        if self._is_closed:
            raise PeerError("session closed")
        self._conversation.data_received(f"{line}\r\n".encode())
        return await self.hear()

    # -- what the conversation asks of a transport -----------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """The server says something."""
        self._heard.extend(self._reader.feed(bytes(data)))
        self._news.set()

    def close(self) -> None:
        """Either side leaves."""
        if not self._is_closed:
            self._is_closed = True
            self._news.set()
            self._conversation.connection_lost(None)

    def abort(self) -> None:
        """Either side leaves at once."""
        self.close()

    def is_closing(self) -> bool:
        """True once a side has left."""
        return self._is_closed

    def pause_reading(self) -> None:
        """There is never more to read than one command."""

    def resume_reading(self) -> None:
        """See there."""
