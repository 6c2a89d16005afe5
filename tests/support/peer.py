"""A scripted SMTP or LMTP server over real sockets, in the test's own event loop.

It keeps every octet it got and answers by script: for each command a list of steps, used in order, then
the usual reply. A step is a reply's text, or something a bad peer does: hang, drop the connection, say
something and drop it, send raw octets. It understands DATA, BDAT, RSET, STARTTLS, and pipelining.
"""

import asyncio
import ssl
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

EXTENSIONS = ("PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN", "SIZE 0")


class Drop(NamedTuple):
    """Close the connection at once, after saying `text` if any."""

    text: str = ""


class Hang(NamedTuple):
    """Say and read nothing more after `text`, but keep the connection."""

    text: str = ""


class Raw(NamedTuple):
    """Send these octets, whatever they are."""

    octets: bytes


Step = str | Drop | Hang | Raw


class Taken(NamedTuple):
    """One message: MAIL and RCPT lines as sent, and the content as received (dots unstuffed)."""

    mail: str
    recipients: list[str]
    content: bytes
    session: int


class Peer:
    """The server; an async context manager, again and again on one port. `script`: by verb, "connect", "content"."""

    def __init__(
        self,
        *,
        extensions: Sequence[str] = EXTENSIONS,
        script: Mapping[str, Sequence[Step]] | None = None,
        refuse: Mapping[str, str] | None = None,
        most: int = 0,
        lmtp: bool = False,
        path: Path | None = None,
        tls: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        host: str = "127.0.0.1",
    ) -> None:
        """`refuse`: RCPT's reply by address; `most`: recipients taken in one transaction."""
        self.extensions = tuple(extensions)
        self.script = {verb: list(steps) for verb, steps in (script or {}).items()}
        self.refuse = dict(refuse or {})
        self.most = most
        self.lmtp = lmtp
        self.path = path
        self.tls = tls
        self.implicit_tls = implicit_tls
        self.host = host
        self.clients: list[str] = []  # the address of each session
        self.taken: list[Taken] = []
        self.raw: list[bytearray] = []  # what each session sent
        self.commands: list[str] = []  # of all sessions
        self.port = 0
        self.open = 0
        self.hung = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        context = self.tls if self.implicit_tls else None
        if self.path is not None:
            self._server: asyncio.Server = await asyncio.start_unix_server(self._serve, self.path, limit=1 << 20)
        else:
            self._server = await asyncio.start_server(self._serve, self.host, self.port, limit=1 << 20, ssl=context)
            self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def verbs(self) -> list[str]:
        """The first words of all commands, in order."""
        return [command.split(" ")[0] for command in self.commands]

    def step(self, verb: str) -> Step | None:
        """The next scripted step for `verb`."""
        steps = self.script.get(verb)
        return steps.pop(0) if steps else None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.open += 1
        self.clients.append(str(writer.get_extra_info("peername")[0]) if self.path is None else "")
        self.raw.append(bytearray())
        session = _Session(self, reader, writer, len(self.raw) - 1)
        try:
            await session.run()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            pass  # the script, the client or the end of the test ended it
        finally:
            self.open -= 1
            self._tasks.discard(task)
            writer.transport.abort()


class _DroppedError(ConnectionError):
    """The script said so."""


class _Session:
    def __init__(self, peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.peer, self.reader, self.writer, self.number = peer, reader, writer, number
        self.mail = ""
        self.recipients: list[str] = []
        self.chunks = b""
        self.tls = False

    async def run(self) -> None:
        await self.answer("connect", "220 peer.example.net ESMTP")
        while line := await self.line():
            command = line.decode("utf-8", "surrogateescape").removesuffix("\r\n")
            self.peer.commands.append(command)
            verb = command.split(" ")[0].upper()
            if await self.handle(verb, command):
                return

    async def handle(self, verb: str, command: str) -> bool:
        peer = self.peer
        if verb in ("EHLO", "LHLO"):
            words = [word for word in peer.extensions if not (self.tls and word == "STARTTLS")]
            lines = ["peer.example.net", *words]
            await self.answer(verb, "\r\n".join([f"250-{text}" for text in lines[:-1]] + [f"250 {lines[-1]}"]))
        elif verb == "MAIL":
            if self.mail:
                await self.say("503 5.5.1 nested MAIL")
            elif await self.answer(verb, "250 2.1.0 Ok"):
                self.mail, self.recipients, self.chunks = command, [], b""
        elif verb == "RCPT":
            await self.recipient(command)
        elif verb == "DATA":
            if self.recipients or peer.script.get("DATA"):
                if await self.answer(verb, "354 Go on"):
                    await self.content(await self.until_dot())
            else:
                await self.say("554 5.5.1 No valid recipients")
        elif verb == "BDAT":
            await self.chunk(command)
        elif verb == "STARTTLS":
            await self.start_tls()
        elif verb == "RSET":
            self.mail = ""
            await self.answer(verb, "250 2.0.0 Ok")
        else:
            await self.answer(verb, "221 2.0.0 Bye" if verb == "QUIT" else "250 2.0.0 Ok")
        return verb == "QUIT"

    async def start_tls(self) -> None:
        if await self.answer("STARTTLS", "220 2.0.0 Ready"):
            assert self.peer.tls is not None
            await self.writer.start_tls(self.peer.tls)
            self.tls = True

    async def recipient(self, command: str) -> None:
        address = command[command.find("<") + 1 : command.rfind(">")]
        peer = self.peer
        reply = peer.refuse.get(address, "250 2.1.5 Ok")
        if not self.mail:
            reply = "503 5.5.1 Need MAIL"
        elif peer.most and len(self.recipients) >= peer.most:
            reply = "452 4.5.3 Too many recipients"
        if await self.answer("RCPT", reply):
            self.recipients.append(command)

    async def chunk(self, command: str) -> None:
        words = command.split(" ")
        self.chunks += await self.exactly(int(words[1]))
        if "LAST" in words:
            await self.content(self.chunks)
        else:
            await self.answer("BDAT", "250 2.0.0 Ok")

    async def content(self, content: bytes) -> None:
        peer = self.peer
        ok = False
        for _ in self.recipients if peer.lmtp else [0]:
            ok |= await self.answer("content", f"250 2.0.0 Ok: taken as {len(peer.taken)}")
        if ok and self.recipients:
            peer.taken.append(Taken(self.mail, self.recipients, content, self.number))
        self.mail = ""

    async def answer(self, verb: str, usual: str) -> bool:
        """Do the scripted step or say `usual`; True when the reply was positive."""
        step = self.peer.step(verb)
        if isinstance(step, Drop):
            if step.text:
                await self.say(step.text)
            raise _DroppedError
        if isinstance(step, Hang):
            if step.text:
                await self.say(step.text)
            self.peer.hung.set()
            await asyncio.Event().wait()
        if isinstance(step, Raw):
            self.writer.write(step.octets)
            await self.writer.drain()
            return False
        text = step if isinstance(step, str) else usual
        await self.say(text)
        return text[0] in "23"

    async def say(self, text: str) -> None:
        self.writer.write(f"{text}\r\n".encode("utf-8", "surrogateescape"))
        await self.writer.drain()

    async def line(self) -> bytes:
        line = await self.reader.readline()
        self.peer.raw[self.number] += line
        return line

    async def exactly(self, length: int) -> bytes:
        octets = await self.reader.readexactly(length)
        self.peer.raw[self.number] += octets
        return octets

    async def until_dot(self) -> bytes:
        lines = []
        while (line := await self.line()) != b".\r\n":
            if not line:
                raise _DroppedError
            # Only CRLF ends a line: what a bare LF cut in two is put together again.
            while line[-2:] != b"\r\n" and line:
                more = await self.line()
                if not more:
                    raise _DroppedError
                line += more
            lines.append(line[1:] if line[:1] == b"." else line)
        return b"".join(lines)


def certificate(folder: Path) -> ssl.SSLContext:
    """A server's context with a new self-signed certificate, made in `folder`."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    subject = ["-subj", "/CN=peer.example.net", "-days", "2", "-nodes", "-batch"]
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subprocess.run([*made, "-keyout", str(key), "-out", str(cert), *subject], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    return context
