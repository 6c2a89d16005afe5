"""What waits, by next hop and age: asked of the spool's index now and then, never for every scrape.

The question reads the whole index, so its answer stays for `KEEP` seconds, and for twenty times what it took. The
number of series is bounded: the next hops with the most recipients, and all others as "other".
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from typing import Final

from postroad.model.errors import SpoolError
from postroad.net.clock import Clock
from postroad.observe.metrics.series import OTHER, Family, Series
from postroad.spool.listing import AGES

LANES_SHOWN: Final = 20
KEEP: Final = 15.0  # seconds that an answer serves
_REST: Final = 20.0  # times what the question took, until it is asked again
_PATIENCE: Final = 5.0  # seconds that a scrape waits for it; then it gets the answer from before
AGE_NAMES: Final = (*(f"{age // 60_000_000}m" for age in AGES), "older")
UNROUTED: Final = "none"

RECIPIENTS: Final = Family(
    "postroad_queue_recipients",
    "gauge",
    f"Recipients that wait, by next hop (the {LANES_SHOWN} with the most, and other) and by the age of their message: "
    "up to 5m, over 5m up to 10m, and so on; at most some 15 seconds old.",
    ("lane", "age"),
)

Shape = Mapping[str, list[int]]


def lane_series(shape: Shape) -> Iterator[Series]:
    """The largest lanes of `shape` by age, and the sum of the others."""
    order = sorted(shape, key=lambda lane: (-sum(shape[lane]), lane))
    shown, rest = order[:LANES_SHOWN], order[LANES_SHOWN:]
    rows = {lane or UNROUTED: shape[lane] for lane in shown}
    if rest:
        others = [rows.pop(OTHER, [])] + [shape[lane] for lane in rest]  # a lane may have that very name
        rows[OTHER] = [sum(column) for column in zip(*filter(None, others), strict=True)]
    for lane, counts in rows.items():
        for age, count in zip(AGE_NAMES, counts, strict=True):
            yield Series(RECIPIENTS.name, (lane, age), count)


class QueueShape:
    """The answer and its age."""

    def __init__(self, ask: Callable[[], Awaitable[Shape]], clock: Clock) -> None:
        """`ask` reads the index."""
        self._ask = ask
        self._clock = clock
        self._known: Shape = {}
        self._again = float("-inf")
        self._task: asyncio.Task[None] | None = None

    async def series(self) -> list[Series]:
        """What waits, as of some seconds ago; raises what a bug raised while asking."""
        if self._task is None and self._clock.monotonic() >= self._again:
            self._task = asyncio.create_task(self._refresh())
        task = self._task
        if task is not None:
            done, _ = await asyncio.wait((task,), timeout=_PATIENCE)
            for one in done:
                one.result()
        return list(lane_series(self._known))

    async def close(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def _refresh(self) -> None:
        began = self._clock.monotonic()
        try:
            with suppress(SpoolError):  # the spool tells of that itself
                self._known = await self._ask()
        finally:
            ended = self._clock.monotonic()
            self._again = ended + max(KEEP, _REST * (ended - began))
            self._task = None
