"""What the spool costs: messages a second and CPU a message, put to settled, in a closed loop.

    python tests/bench/spool_bench.py [--seconds 3] [--folder DIR]

Each task puts a message, waits for it to be durable, and settles it as delivered at once, without waiting: the
fast path of a message whose next hop answers. CPU is the whole process's, all threads, user and system.
"""

import argparse
import asyncio
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import uvloop

from postroad.model.address import parse_mailbox
from postroad.model.envelope import Envelope, Origin, Recipient
from postroad.model.queueid import QueueIds
from postroad.model.work import Change, Status, Stored, Work
from postroad.net.clock import SystemClock
from postroad.spool.settings import SpoolSettings
from postroad.spool.spool import EmbeddedSpool

SENDER = parse_mailbox("sender@example.com")
RECIPIENT = Recipient(parse_mailbox("user@example.org"))
ORIGIN = Origin("192.0.2.1", 40000, "client.example.com", "ESMTP", "mx", "session")


def envelope(queue_id: str, size: int) -> Envelope:
    """An envelope like those of real mail."""
    return Envelope(
        id=queue_id,
        sender=SENDER,
        recipients=(RECIPIENT,),
        arrived=time.time_ns() // 1000,
        size=size,
        origin=ORIGIN,
        prefix="Received: from client.example.com ([192.0.2.1])\r\n\tby relay.example.com with ESMTP id x;\r\n",
        message_id="<20240101.abc@example.com>",
    )


class Session:
    """One closed loop over callbacks, as the listener has it: no task, no future."""

    def __init__(self, spool: EmbeddedSpool, ids: QueueIds, content: bytes) -> None:
        """Nothing is put yet."""
        self.spool = spool
        self.ids = ids
        self.content = content
        self.ended: Callable[[], None] | None = None
        self.count = 0

    def put(self) -> None:
        """Put one message."""
        queue_id = self.ids.new(time.time_ns() // 1000)
        self.spool.put(envelope(queue_id, len(self.content)), self.content, self.done, self.failed)

    def done(self, stored: Stored, works: list[Work]) -> None:
        """It is durable: settle it, and put the next."""
        self.count += 1
        self.spool.settle([Change(works[0], Status.DELIVERED)], [], None)
        if self.ended is None:
            self.put()
        else:
            self.ended()

    def failed(self, error: Exception) -> None:
        """Not in a benchmark."""
        raise error


def cpu() -> float:
    """CPU seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def run(folder: Path, size: int, sessions: int, seconds: float) -> None:
    """Measure one case and print its line."""
    spool = EmbeddedSpool(
        folder,
        SpoolSettings(),
        clock=SystemClock(),
        emit=lambda record: None,
        lane_of=lambda envelope, recipient: "smtp://next.example.net:25",
        deadline_of=lambda envelope: envelope.arrived + 14_400_000_000,
    )
    await spool.open()
    ids = QueueIds(1)
    content = bytes(range(256)) * (size // 256)
    all_sessions = [Session(spool, ids, content) for _ in range(sessions)]
    began, cpu_began = time.perf_counter(), cpu()
    for session in all_sessions:
        session.put()
    await asyncio.sleep(seconds)
    rest = asyncio.Event()
    left = sessions

    def ended() -> None:
        nonlocal left
        left -= 1
        if not left:
            rest.set()

    for session in all_sessions:
        session.ended = ended
    await rest.wait()
    took, used = time.perf_counter() - began, cpu() - cpu_began
    count = sum(session.count for session in all_sessions)
    print(
        f"{size // 1024:4} KiB {sessions:4} sessions: {count / took:8.0f} messages/s  "
        f"{used / count * 1e6:6.1f} us CPU/message"
    )
    await spool.close()


def main() -> None:
    """Run all cases, each in an empty folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--folder", type=Path, default=None)
    arguments = parser.parse_args()
    for size, sessions in ((4096, 1), (4096, 20), (4096, 200), (102_400, 20)):
        folder = Path(tempfile.mkdtemp(dir=arguments.folder))
        try:
            uvloop.run(run(folder, size, sessions, arguments.seconds))
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
