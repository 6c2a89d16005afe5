"""What is sent, and what each end writes down about it.

A message carries its number, and a checksum of its body. Notes are lines in files that survive the writer's death:
every one is one `write` to a file opened for appending. Times are seconds of the one machine's clock.

Notes of a client: `D number` the whole message is on its way; then one of `A number queue-id recipients` accepted,
`X number reply` refused, `U number reason` the connection ended before the reply. What was refused or cut before the
content has no D. Notes of a next hop: `T number queue-id recipient` taken, and then `R number recipient` when the reply
was handed to the kernel, or `L` when the connection was gone or was cut on purpose; `M` when octets are not those sent.
"""

import os
import random
import socket
import time
import zlib
from pathlib import Path

SENDER_DOMAIN = "back.example"
PATTERN = b"0123456789 abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ\r\n"
DOTS = b".a line that begins with a dot\r\n..and one with two\r\n"
NUMBER = b"X-Number: "
CHECK = b"X-Check: "
END = b"\r\n.\r\n"
REFUSED_LOCAL_PART = "nobody"


class Notes:
    """A file of notes; one line a `write`."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def add(self, text: str) -> None:
        """Note `text` with the time."""
        os.write(self._fd, f"{time.time():.6f} {text}\n".encode())


def content_of(number: str, size: int) -> bytes:
    """The content sent under `number`, without dot stuffing; it has a CRLF at its end."""
    body = PATTERN * max(size // len(PATTERN), 1) + DOTS
    return b"From: <soak@%b>\r\n%b%b\r\n%b%d\r\n\r\n%b" % (
        SENDER_DOMAIN.encode(),
        NUMBER,
        number.encode(),
        CHECK,
        zlib.crc32(body),
        body,
    )


def stuffed(content: bytes) -> bytes:
    """The content as it is on the wire, with the final dot (RFC 5321 4.5.2)."""
    return content.replace(b"\r\n.", b"\r\n..") + b".\r\n"


def field(content: bytes, name: bytes) -> str:
    """The value of the first field `name`; "" when there is none."""
    start = content.find(name)
    if start < 0:
        return ""
    start += len(name)
    return content[start : content.find(b"\r\n", start)].decode("ascii", "replace")


def is_whole(content: bytes) -> bool:
    """True when the body of received content, dots still stuffed, is what its checksum was made of."""
    body = content[content.find(b"\r\n\r\n") + 4 :].replace(b"\r\n..", b"\r\n.")
    return field(content, CHECK) == str(zlib.crc32(body))


def queue_id_of(content: bytes) -> str:
    """The queue id in the topmost Received field, which is the relay's."""
    start = content.find(b" id ") + 4
    return content[start : start + 40].split(None, 1)[0].rstrip(b";").decode("ascii", "replace")


def low_port() -> int:
    """A free port that the kernel gives to no outgoing connection, so that it is still free after a restart."""
    chance = random.SystemRandom()
    for _ in range(1000):
        port = chance.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port between 20000 and 32000")
