"""Drops become mail: the folder is looked into at start, when its bell rings and every so often; one intake for all.

A drop is judged like mail from a relay network: the policies on recipients, the limits, aliases and routes are the
same as for SMTP. Who dropped it is long gone, so what SMTP would refuse is told to the sender by a report (RFC 3464),
durable before the drop goes; what SMTP would defer waits here and is tried again. What is no drop, or has nobody to
tell, is set aside with a record. A drop goes the moment the spool has it and before the queue does: killed at any
step, the mail is neither lost nor sent twice.
"""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, NoReturn, TypeVar

from msgspec import Struct

from postroad.listener.intake import Gathering, Intake
from postroad.listener.receipt import Receipt
from postroad.listener.settings import LimitsSettings
from postroad.listener.transaction import Transaction
from postroad.message.dsn import FAILED, Notice
from postroad.model.address import Mailbox
from postroad.model.envelope import Envelope, Origin, Recipient
from postroad.model.errors import DropError, SpoolError
from postroad.model.queueid import QueueIds
from postroad.model.records import CommandRefused, DropSetAside, DropsFaulted, Emit
from postroad.model.reply import Reply
from postroad.net.clock import Clock
from postroad.policy.context import Peer
from postroad.policy.stages import Stages
from postroad.queue.announce import Told
from postroad.smtp import replies
from postroad.smtp.data import ContentCheck
from postroad.smtp.events import DataChunk, MessageEnded
from postroad.store.dropbell import hush, open_bell
from postroad.store.drops import Drop, DropFolder, Letter

LISTENER: Final = "drops"
AT_ONCE: Final = 32  # drops under way together, so that they share the spool's syncs
WAITING: Final = 1000  # drops that may wait for another try before no more are taken
AGAIN: Final = 60.0  # seconds between tries of what was deferred
BACKLOG: Final = 1 << 20  # octets of content that may wait for the disk
DISK_SECONDS: Final = 300.0
SPACING: Final = 0.01  # seconds between two looks at least, however often somebody rings
GRAIN: Final = 2.0  # seconds in which a folder may change twice and show it once

Refuse = Callable[[Envelope, tuple[Notice, ...], bytes, Told], None]
T = TypeVar("T")


class Parts(Struct, frozen=True, kw_only=True):
    """What drops need: `knows` tells whether the spool has a queue id; `refuse` sends a report to a sender."""

    folder: DropFolder
    clock: Clock
    emit: Emit
    stages: Stages
    intake: Intake
    limits: LimitsSettings
    queue_ids: QueueIds
    postmaster: Mailbox
    hostname: str
    knows: Callable[[str], Awaitable[object]]
    refuse: Refuse


class Drops:
    """The loop over the folder."""

    def __init__(self, parts: Parts, poll: float) -> None:
        """Look every `poll` seconds, and when the bell rings."""
        self._parts = parts
        self._poll = poll
        self._bell = -1
        self._rung = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._later: set[str] = set()  # deferred
        self._told: set[str] = set()  # of those: whose sender was told of what was refused
        self._again = 0.0
        self._seen = -1.0
        self._fault = ""

    def adopt(self, parts: Parts) -> None:
        """Judge the drops to come by another configuration."""
        self._parts = parts

    async def resume(self) -> None:
        """What was being taken in when the server ended: the spool has it, or it is taken in again.

        To be done while the spool is open and delivers nothing yet, since what is delivered is gone from it.
        """
        folder = self._parts.folder
        try:
            for queue_id in await _threaded(folder.taken):
                if await self._parts.knows(queue_id):
                    folder.remove(queue_id)
                else:
                    self._later.add(queue_id)
        except (OSError, SpoolError) as error:
            self._faulted(error)

    def start(self) -> None:
        """Begin to look."""
        try:
            self._bell = open_bell(self._parts.folder.path)
        except OSError as error:
            self._faulted(error)
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Take no more; what is not in the spool yet is found at the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._bell >= 0:
            asyncio.get_running_loop().remove_reader(self._bell)
            os.close(self._bell)
            self._bell = -1

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
                self._fault = ""
            except OSError as error:
                self._faulted(error)
            await self._pause()

    def _hear(self) -> None:
        """Somebody has rung; until it was looked, nobody needs to be heard again, however many ring."""
        asyncio.get_running_loop().remove_reader(self._bell)
        hush(self._bell)
        self._rung.set()

    async def _pause(self) -> None:
        """Until somebody rings, or it is time to look anyway."""
        await self._parts.clock.sleep(SPACING)
        if self._bell >= 0:
            asyncio.get_running_loop().add_reader(self._bell, self._hear)
        timer = self._parts.clock.call_later(self._poll - SPACING, self._rung.set)
        try:
            await self._rung.wait()
        finally:
            timer.cancel()
        self._rung.clear()

    def _faulted(self, error: Exception) -> None:
        if self._fault != str(error):  # once, however long it lasts
            self._fault = str(error)
            self._parts.emit(DropsFaulted(at=self._parts.clock.now(), reason=f"drops wait: {error}"))

    async def look(self) -> None:
        """One look into the folder; everything found has been answered for when it returns."""
        parts = self._parts
        if self._later and parts.clock.monotonic() >= self._again:
            self._again = parts.clock.monotonic() + AGAIN
            waiting, self._later = sorted(self._later), set()
            await self._all(waiting)
        while len(self._later) < WAITING:
            changed = await _threaded(parts.folder.changed)
            now = parts.clock.now() / 1_000_000
            if changed == self._seen and now - changed > GRAIN:
                return
            names = await _threaded(parts.folder.arrivals, now)
            taken = [queue_id for name in names if (queue_id := await self._take(name))]
            await self._all(taken)
            if not taken:
                self._seen = changed
                return

    async def _take(self, name: str) -> str:
        parts = self._parts
        queue_id = parts.queue_ids.new(parts.clock.now())
        try:
            await _threaded(parts.folder.take, name, queue_id)
        except FileNotFoundError:  # whose it is took it back
            return ""
        except DropError as error:
            place, uid = parts.folder.found(name, queue_id)
            self._tell_aside(name.encode("ascii", "backslashreplace").decode(), uid, str(error), place)
            return ""
        return queue_id

    async def _all(self, queue_ids: list[str]) -> None:
        for start in range(0, len(queue_ids), AT_ONCE):
            await asyncio.gather(*map(self._enter, queue_ids[start : start + AT_ONCE]))

    # -- one drop ------------------------------------------------------------------------------

    async def _enter(self, queue_id: str) -> None:
        try:
            drop = await _threaded(self._parts.folder.open, queue_id)
            try:
                await _Entry(self._parts, queue_id, drop, self._told).run()
            finally:
                drop.close()
        except DeferError:
            self._later.add(queue_id)
            return
        except OSError as error:  # of the disk, or it took too long
            self._later.add(queue_id)
            self._faulted(error)
            return
        except DropError as error:
            self._set_aside(queue_id, str(error))
        except Exception as error:  # noqa: BLE001  the seam: a bug of ours costs this one drop its way, and no other
            self._set_aside(queue_id, f"taking it in failed: {error!r}")
        self._told.discard(queue_id)

    def _set_aside(self, queue_id: str, reason: str) -> None:
        try:
            self._parts.folder.set_aside(queue_id)
        except OSError as error:
            self._later.add(queue_id)
            self._faulted(error)
            return
        place, uid = self._parts.folder.found(queue_id, queue_id)
        self._tell_aside(queue_id, uid, reason, place)

    def _tell_aside(self, drop: str, uid: int, reason: str, aside: str) -> None:
        self._parts.emit(DropSetAside(at=self._parts.clock.now(), drop=drop, uid=uid, reason=reason, aside=aside))


class DeferError(Exception):
    """A drop cannot be taken in now, and waits."""


class _Entry:
    """One drop on its way through the intake; DropError when it has to be set aside, DeferError when it has to wait."""

    def __init__(self, parts: Parts, queue_id: str, drop: Drop, told: set[str]) -> None:
        self._parts = parts
        self._id = queue_id
        self._drop = drop
        self._told = told
        self._letter: Letter = drop.letter
        self._origin = Origin("", 0, f"userid {drop.uid}", "local", LISTENER, queue_id)

    async def run(self) -> None:
        """Take the drop in, and have its sender told of what is refused."""
        if len(self._letter.recipients) > self._parts.limits.recipients_per_message:
            raise DropError("it has more recipients than limits.recipients_per_message")
        transaction, refused = await self._judge()
        recipients = transaction.recipients
        if any(reply.code < 500 for _, reply in refused) or not self._parts.intake.has_room():
            raise DeferError
        if self._drop.length > self._parts.limits.message_size:
            await self._refuse_whole(recipients, refused, replies.MESSAGE_TOO_BIG, await _threaded(self._beginning))
        if not recipients and not transaction.left_out:
            await self._report(refused, await _threaded(self._beginning))
            if self._letter.mail.path.is_null:
                raise DropError("its recipients are refused, and it has no sender to tell")
            self._parts.folder.remove(self._id)
            return
        gathering, ended, beginning = await self._gather()
        try:
            await self._report(refused, beginning)
        except BaseException:
            gathering.discard()
            raise
        receipt = await self._accept(transaction, gathering, ended)
        if receipt.reply.is_positive:
            return
        self._tell("message", receipt.reply, receipt.detail, "")
        if receipt.reply.code < 500:
            raise DeferError
        await self._refuse_whole(recipients, [], receipt.reply, beginning)

    async def _judge(self) -> tuple[Transaction, list[tuple[Recipient, Reply]]]:
        parts = self._parts
        transaction = Transaction(parts.stages, Peer("", relays=True), self._origin, self._letter.mail)
        refused = await transaction.judge(self._recipients())
        for recipient, notice in refused:
            self._tell(notice.stage, notice.reply, notice.detail, recipient.address.text)
        return transaction, [(recipient, notice.reply) for recipient, notice in refused]

    def _recipients(self) -> Iterator[Recipient]:
        parts = self._parts
        for rcpt in self._letter.recipients:
            path = rcpt.path
            if not path.domain or (path.local == "postmaster" and path.domain == parts.hostname):
                path = parts.postmaster  # RFC 5321 4.5.1
            yield Recipient(path, rcpt.notify, rcpt.orcpt)

    async def _gather(self) -> tuple[Gathering, MessageEnded, bytes]:
        """Read the content through the same check as SMTP's; DropError when it is not what was written."""
        limits = self._parts.limits
        drained = asyncio.Event()
        check = ContentCheck(limit=limits.message_size, normalise=False, binary=self._letter.mail.body == "BINARYMIME")
        gathering = self._parts.intake.gather(drained.set)
        try:
            beginning = await self._stream(check, gathering, drained)
        except BaseException:
            gathering.discard()
            raise
        return gathering, check.ended(), beginning

    async def _stream(self, check: ContentCheck, gathering: Gathering, drained: asyncio.Event) -> bytes:
        beginning = b""
        pieces = self._drop.pieces()
        held = b""
        while piece := await _threaded(next, pieces, b""):
            beginning = beginning or piece
            piece = held + piece
            held = b"\r" if piece.endswith(b"\r") else b""
            chunk = check.take(piece.removesuffix(held))
            drained.clear()
            if isinstance(chunk, DataChunk) and gathering.append(chunk.data) > BACKLOG:
                async with asyncio.timeout(DISK_SECONDS):
                    await drained.wait()
        if isinstance(chunk := check.take(held), DataChunk):
            gathering.append(chunk.data)
        return beginning

    def _beginning(self) -> bytes:
        with contextlib.suppress(DropError):
            return next(self._drop.pieces(), b"")
        return b""

    async def _accept(self, transaction: Transaction, gathering: Gathering, ended: MessageEnded) -> Receipt:
        answer: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()

        def done(receipt: Receipt) -> None:
            if receipt.reply.is_positive:  # now, before the queue has it: see the head of this file
                self._parts.folder.remove(self._id)
            if not answer.done():
                answer.set_result(receipt)

        self._parts.intake.accept(transaction, gathering, ended, done, self._id)
        return await answer

    async def _refuse_whole(
        self, recipients: list[Recipient], refused: list[tuple[Recipient, Reply]], reply: Reply, beginning: bytes
    ) -> NoReturn:
        await self._report([*refused, *((recipient, reply) for recipient in recipients)], beginning)
        raise DropError(f"refused: {reply}")

    async def _report(self, refused: list[tuple[Recipient, Reply]], beginning: bytes) -> None:
        """Tell the sender, durably and once; DeferError when that is not possible now."""
        parts, mail = self._parts, self._letter.mail
        now = parts.clock.now()
        told = [(recipient, reply) for recipient, reply in refused if recipient.wants_failure()]
        if mail.path.is_null or not told or self._id in self._told:
            return
        notices = tuple(
            Notice(recipient, FAILED, reply.enhanced or "5.0.0", diagnostic=str(reply), at=now)
            for recipient, reply in told
        )
        envelope = Envelope(
            id=self._id,
            sender=mail.path,
            recipients=tuple(recipient for recipient, _ in told),
            arrived=now,
            size=self._drop.length,
            origin=self._origin,
            smtputf8=mail.smtputf8,
            ret=mail.ret,
            envid=mail.envid,
        )
        durable: asyncio.Future[SpoolError | None] = asyncio.get_running_loop().create_future()

        def done(error: SpoolError | None) -> None:
            if not durable.done():
                durable.set_result(error)

        parts.refuse(envelope, notices, beginning, done)
        if await durable is not None:
            raise DeferError
        self._told.add(self._id)

    def _tell(self, stage: str, reply: Reply, detail: str, recipient: str) -> None:
        self._parts.emit(
            CommandRefused(
                at=self._parts.clock.now(),
                origin=self._origin,
                stage=stage,
                reply=reply,
                detail=detail,
                sender=self._letter.mail.path.text,
                recipient=recipient,
            )
        )


async def _threaded(call: Callable[..., T], *arguments: object) -> T:
    """Run what blocks in a thread."""
    return await asyncio.get_running_loop().run_in_executor(None, call, *arguments)
