"""Our end of one worker process: how it is started, asked, and ended.

The process is a fresh interpreter, so nothing of our memory is in it; it gets one end of a pair of sockets and an
environment with the language and the time zone alone. Invariant: whoever holds the other end closed is dead or dying.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from typing import Final

import msgspec

from postroad.net.workers.wire import HEAD, Done, Job, frame

ANSWER_LIMIT: Final = 256 << 20  # octets of a value
KEPT: Final = ("LANG", "LC_ALL", "LC_CTYPE", "TZ")  # of the environment
# The path of modules stands behind three numbers; nothing is imported by another one.
_PROGRAM: Final = (
    "import sys; sys.path[:] = sys.argv[4:]; "
    "from postroad.net.workers.worker import main; main(*map(int, sys.argv[1:4]))"
)
END_SECONDS: Final = 5.0


async def start(memory: int) -> "WorkerLink":
    """A new worker that may use `memory` octets; OSError when there can be none."""
    ours, its = socket.socketpair()
    try:
        with its:
            process = _spawn(its.fileno(), memory)
        ours.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=1 << 20)
    except BaseException:
        ours.close()
        raise
    return WorkerLink(process, reader, writer)


def _spawn(descriptor: int, memory: int) -> "subprocess.Popen[bytes]":
    """A fresh interpreter that imports by our path; neither the environment nor a folder says what it imports."""
    path = [os.path.abspath(entry) for entry in sys.path]  # noqa: PTH100  no file is looked at
    return subprocess.Popen(  # noqa: S603  the program is ourselves
        [sys.executable, "-I", "-B", "-c", _PROGRAM, str(descriptor), str(os.getpid()), str(memory), *path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={name: os.environ[name] for name in KEPT if name in os.environ},
        pass_fds=[descriptor],
        start_new_session=True,
    )


class WorkerLink:
    """A worker that lives, as far as we know. `jobs` it did, `growth` since its first one in octets."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Of `process`, at the other end of these."""
        self.jobs = 0
        self.growth = 0
        self.ending: asyncio.Task[str] | None = None
        self._process = process
        self._reader = reader
        self._writer = writer
        self._memory = 0  # after its first job

    @property
    def is_alive(self) -> bool:
        """False when it ended while nobody asked it anything."""
        return self._process.poll() is None and not self._reader.at_eof()

    async def ask(self, job: Job, bulk: bytes) -> tuple[Done, bytes]:
        """Have a job done. EOFError, OSError: it died. Others: it does not behave."""
        for part in frame(job, bulk):
            self._writer.write(part)
        await self._writer.drain()
        first, second = HEAD.unpack(await self._reader.readexactly(HEAD.size))
        if first + second > ANSWER_LIMIT:
            raise ValueError("an answer that is too large")
        done = msgspec.msgpack.decode(await self._reader.readexactly(first), type=Done)
        answer = await self._reader.readexactly(second)
        self.jobs += 1
        self._memory = self._memory or done.memory
        self.growth = done.memory - self._memory
        return done, answer

    async def end(self, fault: Exception | None) -> str:
        """Kill it; how it ended, in words: by itself before, or by `fault`."""
        self._writer.close()
        process = self._process
        if fault is not None and not isinstance(fault, ValueError):
            status = await self._wait(END_SECONDS / 10)  # the socket closes a little before the process is gone
        else:
            status = process.poll()
        process.kill()
        if status is None:
            await self._wait(END_SECONDS)
            return str(fault or "by us")
        return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"

    async def _wait(self, seconds: float) -> int | None:
        try:
            return await asyncio.to_thread(self._process.wait, seconds)
        except subprocess.TimeoutExpired:
            return None
