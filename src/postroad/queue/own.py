"""Mail that we make ourselves, signed before it enters the queue: reports, warnings, letters to the postmaster.

Whoever has keys (`[dkim]`) is asked for signatures; they stand on top of the envelope's prefix, as with mail of others
(RFC 6376 5, RFC 8460 3). Such mail is never lost for want of a signature: it leaves without one, and a record says so.
Without keys nothing waits.
"""

import asyncio
from collections.abc import Awaitable, Callable

from postroad.model.envelope import Envelope
from postroad.model.errors import SpoolError
from postroad.model.record import Record
from postroad.model.records import Emit
from postroad.model.work import Stored, Work
from postroad.queue.announce import Putting

# The envelope with its signatures on top, if there are any, and what is to be told of it; it never fails.
SignOwn = Callable[[Envelope, bytes], Awaitable[tuple[Envelope, Record]]]


class OwnSigning:
    """Signs what we make; `signer` is that of the configuration in force, None without keys."""

    def __init__(self, emit: Emit) -> None:
        """Nothing signs yet."""
        self.signer: SignOwn | None = None
        self._emit = emit
        self._running: set[asyncio.Task[None]] = set()

    async def sign(self, envelope: Envelope, content: bytes) -> Envelope:
        """`envelope` as it is to be stored."""
        if self.signer is None:
            return envelope
        envelope, note = await self.signer(envelope, content)
        self._emit(note)
        return envelope

    def run(self, work: Awaitable[None]) -> None:
        """Let `work` go on beside the rest; `close` waits for it."""
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """Return when nothing is being signed; while the spool is open."""
        while self._running:
            await asyncio.wait(list(self._running))


class SignedPutting:
    """The spool, as those see it who put mail of ours into it."""

    def __init__(self, spool: Putting, own: OwnSigning) -> None:
        """Signed by `own`."""
        self._spool = spool
        self._own = own

    def put(
        self,
        envelope: Envelope,
        content: bytes,
        done: Callable[[Stored, list[Work]], None],
        failed: Callable[[SpoolError], None],
    ) -> None:
        """Sign, make durable, then call back."""
        if self._own.signer is None:
            self._spool.put(envelope, content, done, failed)
            return

        async def signed() -> None:
            self._spool.put(await self._own.sign(envelope, content), content, done, failed)

        self._own.run(signed())
