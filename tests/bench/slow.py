"""Slow clients in a process of their own: `python -m tests.bench.slow PORT COUNT`.

A fifth of the sessions say EHLO and nothing more, two fifths send a command an octet a second, two fifths the content
of a message. Prints `open COUNT` once all are there, goes on until its standard input ends, then prints `left COUNT`:
how many the relay has not closed.
"""

import resource
import select
import socket
import sys
import time
from typing import BinaryIO

SECONDS = 60.0
PART = 0.01  # seconds between two groups of octets
COMMAND = b"MAIL FROM:<slow@example.com> "  # its parameters never end
LINE = b"x" * 60 + b"\r\n"
KINDS = ("idle", "command", "command", "content", "content")


class Slow:
    """One session."""

    def __init__(self, port: int, kind: str) -> None:
        self.kind = kind
        self.sent = 0
        self.peer = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        with self.peer.makefile("rb") as answers:
            _expect(answers, b"220")
            self.peer.sendall(b"EHLO slow.example.com\r\n")
            _expect(answers, b"250")
            if kind == "content":
                self.peer.sendall(b"MAIL FROM:<slow@example.com>\r\nRCPT TO:<slow@example.net>\r\nDATA\r\n")
                for code in (b"250", b"250", b"354"):
                    _expect(answers, code)
                self.peer.sendall(b"Subject: slow\r\n\r\n")
            elif kind == "command":
                self.peer.sendall(COMMAND)
        self.peer.setblocking(False)

    def send(self) -> None:
        """One octet more."""
        octet = b"x" if self.kind == "command" else LINE[self.sent % len(LINE) :][:1]
        self.sent += 1
        try:
            self.peer.send(octet)
        except OSError:
            self.kind = "closed"

    def is_open(self) -> bool:
        """False once the relay has said something or closed the connection."""
        try:
            self.peer.recv(1)
        except BlockingIOError:
            return self.kind != "closed"
        except OSError:
            return False
        return False


def _expect(answers: BinaryIO, code: bytes) -> None:
    line = b"----"
    while line[3:4] == b"-":
        line = answers.readline()
        if line[:3] != code:
            raise ConnectionError(f"{code.decode()} expected, not {line!r}")


def main(port: int, count: int) -> None:
    """Open `count` sessions and keep them busy."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    sessions = [Slow(port, KINDS[number % len(KINDS)]) for number in range(count)]
    print(f"open {count}", flush=True)
    busy = [session for session in sessions if session.kind != "idle"]
    begin, done = time.monotonic(), 0
    while not select.select([sys.stdin], [], [], PART)[0]:
        due = int((time.monotonic() - begin) * len(busy))
        for number in range(done, due):
            busy[number % len(busy)].send()
        done = due
    print(f"left {sum(session.is_open() for session in sessions)}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
