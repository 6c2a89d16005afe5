"""Why a recipient is not being delivered right now, as a typed reason: from the running server, or from the spool.

The server knows its lanes: who waits for a connection, a rate, a pause. The spool knows the rest: held, not due yet. A
server that does not run, or is not ours to ask, is a reason of its own. The values of `Cause` are for programs, and
are explained in docs/howto/operate-the-queue.md.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from postroad.cli.control import GLANCE_SECONDS, ask
from postroad.cli.layout import Stopped, moment_text, printable
from postroad.config.schema import Config
from postroad.desk.protocol import LaneNow, LanesAsked
from postroad.model.errors import SpoolError
from postroad.model.work import Status
from postroad.queue.lane import WaitReason
from postroad.queue.times import NEVER
from postroad.spool import filters
from postroad.spool.listing import Listed, ListedRecipient

_NAMES: Final = 5000  # lanes asked about at once


class Cause(StrEnum):
    """Why a recipient waits."""

    DELIVERING = "delivering"
    HELD = filters.HELD
    RETRY = filters.RETRY
    STOPPED = "stopped"
    SUSPENDED = "suspended"
    PLANNING = "planning"
    BUSY = "busy"
    RATE = "rate"
    CONCURRENCY = "concurrency"
    SOURCE = "source"
    DELIVERIES = "deliveries"
    MEMORY = "memory"
    DRAINING = "draining"
    SERVER = "server"
    OTHER = "other"


CAUSES: Final = MappingProxyType(
    {
        WaitReason.PLANNING: Cause.PLANNING,
        WaitReason.LANE_BUSY: Cause.BUSY,
        WaitReason.LANE_SUSPENDED: Cause.SUSPENDED,
        WaitReason.LANE_STOPPED: Cause.STOPPED,
        WaitReason.RATE: Cause.RATE,
        WaitReason.CONCURRENCY: Cause.CONCURRENCY,
        WaitReason.SOURCE_LIMIT: Cause.SOURCE,
        WaitReason.GLOBAL_LIMIT: Cause.DELIVERIES,
        WaitReason.DRAINING: Cause.DRAINING,
    }
)
ASKED: Final = (*filters.REASONS, *(cause.value for cause in CAUSES.values()))  # what lists can be asked for


class Wait(Struct, frozen=True):
    """Why a recipient waits: `until` in microseconds since 1970, 0 when nobody knows; `words` for people."""

    cause: Cause
    words: str
    until: int = 0

    def __str__(self) -> str:
        """`rate: a rate that a shaping rule sets is used up: ..., until 2026-01-02 03:04:05`."""
        until = f", until {moment_text(self.until)}" if 0 < self.until < NEVER else ""
        return f"{self.cause}: {printable(self.words)}{until}"


class Live(Struct, frozen=True):
    """What the running server says of lanes, and which recipients (queue id, number) it is delivering.

    `fault` is why it says nothing, in words.
    """

    lanes: Mapping[str, LaneNow] = MappingProxyType({})
    delivering: frozenset[tuple[str, int]] = frozenset()
    fault: str = ""


class Reasons:
    """Tells why recipients wait. The server is asked for a portion of messages at once, and only for what it decides.

    One that does not answer is not asked again: a list tells the rest without it.
    """

    def __init__(self, config: Config, stopped: Stopped, now: int) -> None:
        """`stopped` tells what operators have stopped."""
        self.stopped = stopped
        self._config = config
        self._now = now
        self._fault = ""

    def of(self, messages: Sequence[Listed]) -> list[dict[int, Wait]]:
        """Why the recipients of each message wait, by their number; those that are final are left out."""
        live = self._live(messages)
        return [
            {
                one.index: wait
                for one in message.recipients
                if (wait := wait_of(message.id, one, live, self.stopped, self._now)) is not None
            }
            for message in messages
        ]

    def _live(self, messages: Sequence[Listed]) -> Live:
        names: dict[str, None] = {}
        ids: dict[str, None] = {}
        for message in messages:
            for one in message.recipients:
                is_up = one.status is Status.PENDING and (one.leased or one.due <= self._now)
                if is_up and self.stopped(one.lane) is None:
                    names[one.lane] = None
                    if one.leased:
                        ids[message.id] = None
        if self._fault or not names:
            return Live(fault=self._fault)
        live = lanes_now(self._config, tuple(names), tuple(ids))
        self._fault = live.fault
        return live


def lanes_now(config: Config, names: Sequence[str], ids: Sequence[str] = (), *, plain: bool = False) -> Live:
    """What the running server says of those of its lanes, and of the messages `ids`; `plain`: see `LanesAsked`."""
    lanes: dict[str, LaneNow] = {}
    delivering: set[tuple[str, int]] = set()
    try:
        for start in range(0, len(names), _NAMES):
            some = tuple(names[start : start + _NAMES])
            asked = LanesAsked(names=some, ids=() if start else tuple(ids), plain=plain)
            for answer in ask(config, asked, GLANCE_SECONDS):
                lanes.update((lane.name, lane) for lane in answer.lanes)
                delivering.update(answer.delivering)
    except (SpoolError, OSError) as error:
        return Live(fault=str(error))
    return Live(lanes, frozenset(delivering))


def wait_of(queue_id: str, recipient: ListedRecipient, live: Live, stopped: Stopped, now: int) -> Wait | None:
    """Why `recipient` waits; None when it is final. `stopped` tells what operators have stopped."""
    if recipient.status.is_final:
        return None
    if recipient.status is Status.HELD:
        return Wait(Cause.HELD, recipient.reply or "until somebody releases it")
    halt = stopped(recipient.lane)
    if halt is not None:
        return Wait(Cause.STOPPED, halt.words, halt.until)
    if (queue_id, recipient.index) in live.delivering:
        return Wait(Cause.DELIVERING, "it is being delivered")
    if recipient.due > now and (live.fault or not recipient.leased):
        return Wait(Cause.RETRY, "its next try is not due yet", recipient.due)
    if live.fault:
        return Wait(Cause.SERVER, live.fault)
    lane = live.lanes.get(recipient.lane)
    found = None if lane is None else lane_wait(lane)
    if found is None and recipient.leased:
        return Wait(Cause.BUSY, "it is in memory, and its turn comes next")
    return found or Wait(Cause.MEMORY, "it waits in the spool for its turn")


def lane_wait(lane: LaneNow) -> Wait | None:
    """Why mail of `lane` waits now; None when nothing keeps it."""
    try:
        cause = CAUSES.get(WaitReason(lane.wait))
    except ValueError:  # a server of another version
        return Wait(Cause.OTHER, lane.wait, lane.until) if lane.wait else None
    if cause is None:
        return None
    return Wait(cause, f"{lane.wait}: {lane.reason}" if lane.reason else lane.wait, lane.until)
