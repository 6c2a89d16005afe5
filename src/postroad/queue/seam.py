"""The delivery seam: one batch goes out, or a reason comes back; nothing that goes wrong in it stops anything else.

A bug behind the seam defers the batch it meets and is told with its traceback; it says nothing about the next hop.
Content that cannot be read is the spool's trouble, not the next hop's.
"""

import traceback
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from postroad.model.content import Content
from postroad.model.errors import SpoolError
from postroad.model.outcome import Decided, Deferred, Scope
from postroad.model.records import DeliveryFaulted, Emit, SpoolFaulted
from postroad.model.reply import Reply
from postroad.model.route import Route
from postroad.net.clock import Clock
from postroad.queue.lane import Batch, Lane
from postroad.queue.settle import unreadable
from postroad.queue.spooling import CachedPlan, Deliver, Plan, Spooling

_NO_PLAN: Final = Deferred(Reply(451, "4.3.0", "internal error while looking the next hop up"), Scope.MESSAGE)
_FAULT: Final = Deferred(Reply(451, "4.3.0", "internal error while delivering"), Scope.MESSAGE)


class Attempted(Struct, gc=False):
    """One outcome for each recipient of a batch, its content where it is at hand, and when things happened.

    Instants are monotonic, in seconds: `planned` is when the route was known. `sane`: the outcomes tell something
    about the next hop.
    """

    outcomes: Sequence[Decided]
    content: Content | None
    sane: bool
    began: float
    planned: float
    ended: float


class Seam:
    """Plans and delivers, through plain callables."""

    def __init__(  # noqa: PLR0913  # its neighbours, as plain callables
        self,
        spool: Spooling,
        plan: Plan,
        cached_plan: CachedPlan,
        deliver: Deliver,
        *,
        emit: Emit,
        clock: Clock,
        learn: Callable[[Lane, Route, int], None],
    ) -> None:
        """`learn` hears of a route that is new for its lane, before anything is delivered by it."""
        self._spool = spool
        self._plan = plan
        self._cached_plan = cached_plan
        self._deliver = deliver
        self._emit = emit
        self._clock = clock
        self._learn = learn

    async def plan(self, lane: str) -> Route | Decided:
        """The route of `lane`, or why there is none."""
        try:
            return self._cached_plan(lane) or await self._plan(lane)
        except Exception:  # noqa: BLE001  # the seam: a bug defers this lane's mail and stops nothing else
            self._emit(DeliveryFaulted(at=self._clock.now(), lane=lane, detail=traceback.format_exc()))
            return _NO_PLAN

    async def attempt(self, lane: Lane, batch: Batch, unroutable: Decided | None) -> Attempted:
        """Deliver one batch; `unroutable` tells why there is no route, where that is known."""
        clock = self._clock
        works = batch.works
        content = batch.stored.content
        began = planned = clock.monotonic()
        outcomes: Sequence[Decided]
        sane = False
        try:
            route = unroutable or self._cached_plan(lane.name) or await self._plan(lane.name)
            planned = clock.monotonic()
            if isinstance(route, Route):
                if lane.route is not route:
                    self._learn(lane, route, clock.now())
                if content is None:
                    content = await self._spool.body(batch.stored)
                outcomes = await self._deliver(route, works, content)
            else:
                outcomes = [route] * len(works)
            if len(outcomes) != len(works):
                raise ValueError(f"{len(outcomes)} outcomes for {len(works)} recipients")
            sane = True
        except SpoolError as error:
            self._emit(SpoolFaulted(at=clock.now(), reason=str(error)))
            outcomes = [unreadable(error)] * len(works)
        except Exception:  # noqa: BLE001  # the seam: a bug defers this batch and stops nothing else
            self._emit(DeliveryFaulted(at=clock.now(), lane=lane.name, detail=traceback.format_exc()))
            outcomes = [_FAULT] * len(works)
        return Attempted(outcomes, content, sane, began, planned, clock.monotonic())
