"""Where a process counts what `[[rates]]` limit: in the memory of this node, or in a server that several nodes share.

Mail never waits for that server beyond its deadline, and never stops without it: while it does not answer, this node
counts for itself, in memory, where it has counted its own part all along. One question in a while looks whether it
is back.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from postroad.config.schema import Config
from postroad.config.secrets import read_secret
from postroad.house.processes.board import Board
from postroad.model.counts import STEPS, Cap, Counts, Judged, Kept, Take, account_of
from postroad.model.errors import CountsError
from postroad.model.late import Late
from postroad.model.records import CountsFound, CountsLost, Emit
from postroad.net.clock import Clock
from postroad.policy.rates.table import Table
from postroad.store.counting import MakeRemote, Remote, Server

REDIS: Final = Late[MakeRemote]("postroad.store.redisrates", "make_redis", extra="redis")
ERRANDS: Final = 1000  # things told to the server without waiting for it, at once
PORTION: Final = 64  # sets looked at before other work has its turn


class NodeCounts(Counts):
    """What one configuration counts by."""

    def __init__(self, table: Table, clock: Clock, emit: Emit) -> None:
        """In `table`, as long as nobody names a server."""
        self.table = table
        self._clock = clock
        self._emit = emit
        self._remote: Remote | None = None
        self._server = ""
        self._retry = 0.0
        self._lost_at = 0.0  # when the server ceased to answer; 0 while it does
        self._next_try = 0.0
        self._errands: set[asyncio.Task[None]] = set()

    def share(self, remote: Remote, server: str, retry: float) -> None:
        """Count in `remote`, which people call `server`; after a failure leave it alone for `retry` seconds."""
        self._remote, self._server, self._retry = remote, server, retry

    def take(self, takes: Sequence[Take], now: int) -> Judged | Awaitable[Judged]:
        """See `Counts`."""
        remote = self._remote
        if remote is None or not self._may_ask():
            return self.table.take(takes, now)
        return self._take(remote, takes, now)

    async def _take(self, remote: Remote, takes: Sequence[Take], now: int) -> Judged:
        try:
            judged = await remote.take(takes, now)
        except CountsError as error:
            self._lost(str(error))
            return self.table.take(takes, now)
        self._found()
        if all(one.take.is_soft for one in judged):  # our own part, for when the server is gone
            over = {one.take.account for one in judged}
            mine = [replace(take, is_soft=True) for take in takes if not take.is_look and take.account not in over]
            self.table.take(mine, now)
        return judged

    def give_back(self, takes: Sequence[Take], at: int, now: int) -> None:
        """See `Counts`."""
        self.table.give_back(takes, at, now)
        if self._remote is not None and not self._lost_at:
            self._send(self._remote.give_back(takes, at))

    def count(self, takes: Sequence[Take], now: int) -> None:
        """See `Counts`."""
        self.table.take(takes, now)
        if self._remote is not None and not self._lost_at:
            self._send(self._tell(self._remote, takes, now))

    async def _tell(self, remote: Remote, takes: Sequence[Take], now: int) -> None:
        await remote.take(takes, now)

    # -- the server ------------------------------------------------------------------------------

    def _may_ask(self) -> bool:
        if not self._lost_at:
            return True
        now = self._clock.monotonic()
        if now < self._next_try:
            return False
        self._next_try = now + self._retry  # this question looks whether it is back, others meanwhile do not
        return True

    def _lost(self, reason: str) -> None:
        now = self._clock.monotonic()
        self._next_try = now + self._retry
        if not self._lost_at:
            self._lost_at = now
            self._emit(CountsLost(at=self._clock.now(), server=self._server, reason=reason))

    def _found(self) -> None:
        if self._lost_at:
            seconds, self._lost_at = self._clock.monotonic() - self._lost_at, 0.0
            self._emit(CountsFound(at=self._clock.now(), server=self._server, seconds=round(seconds, 3)))

    def _send(self, work: Coroutine[None, None, None]) -> None:
        if len(self._errands) >= ERRANDS:
            work.close()
            return
        task = asyncio.ensure_future(self._errand(work))
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def _errand(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except CountsError as error:
            self._lost(str(error))

    # -- for people ------------------------------------------------------------------------------

    async def accounts(self, caps: Mapping[str, Cap]) -> AsyncIterator[Kept]:
        """Every account in which something counts: those of all nodes when they share a server that answers.

        `caps` are those in force, by rate and label.
        """
        now = self._clock.now()
        if self._remote is not None:
            found = 0
            try:
                async for account, cells in self._remote.accounts():
                    found += 1
                    rate, label, _ = account.split("\n", 2)
                    cap = caps.get(account_of(rate, label, ""))
                    if cap is not None:
                        oldest = cap.bucket(now) - (STEPS if cap.period else 0)
                        used = sum(amount for step, amount in cells.items() if step >= oldest)
                        yield Kept(account, cap.period, cap.count, max(cells), (used,))
            except CountsError as error:
                self._lost(str(error))
                if found:
                    raise
            else:
                return
        async for one in walk(self.table, self._clock, now):
            yield one

    async def forget(self, wanted: Callable[[str], bool]) -> int:
        """Begin accounts anew that are wanted by name; how many those were. CountsError when the server is away."""
        count = 0
        for number in range(self.table.sets):
            count += self.table.forget(number, wanted)
            if number % PORTION == 0:
                await self._clock.sleep(0)
        return count if self._remote is None else await self._remote.forget(wanted)

    async def close(self) -> None:
        """Needed no more."""
        errands = list(self._errands)
        for task in errands:
            task.cancel()
        await asyncio.gather(*errands, return_exceptions=True)
        if self._remote is not None:
            await self._remote.close()


async def walk(table: Table, clock: Clock, now: int) -> AsyncIterator[Kept]:
    """The accounts of a table; other work may come in between."""
    for number in range(table.sets):
        for one in table.kept(number, now):
            yield one
        if number % PORTION == 0:
            await clock.sleep(0)


class Counting:
    """Makes the counts of each configuration, all in the table of the node."""

    def __init__(self, table: Table, clock: Clock, emit: Emit) -> None:
        """Nothing is connected."""
        self.table = table
        self._clock = clock
        self._emit = emit
        self._last: tuple[Server | None, float, NodeCounts] | None = None

    def counts_of(self, config: Config) -> NodeCounts:
        """The counts for `config`, those of the last one when nothing of them has changed; ConfigError."""
        server, retry = server_of(config), config.counting.retry
        if self._last is not None and self._last[:2] == (server, retry):
            return self._last[2]
        counts = NodeCounts(self.table, self._clock, self._emit)
        if server is not None:
            counts.share(REDIS.load()(server), server.url, retry)
        self._last = server, retry, counts
        return counts


def server_of(config: Config) -> Server | None:
    """The server that `config` names, if rates are to be counted at all; ConfigError when its password is not there."""
    counting = config.counting
    if counting.redis is None or not config.rates:
        return None
    secret = counting.password
    password = "" if secret is None else read_secret(secret, "counting.password")
    return Server(counting.redis, counting.username, password, counting.prefix, counting.timeout)


class LocalCrowd:
    """What there is at once in the only process."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._there: Counter[str] = Counter()

    def come(self, name: str) -> int:
        """See `Crowd`."""
        self._there[name] += 1
        return self._there[name]

    def go(self, name: str) -> None:
        """See `Crowd`."""
        self._there[name] -= 1
        if self._there[name] <= 0:
            del self._there[name]


class BoardCrowd:
    """What there is at once in all processes, as the one at `place` sees it."""

    def __init__(self, board: Board, place: int) -> None:
        """On the board."""
        self._board = board
        self._place = place

    def come(self, name: str) -> int:
        """See `Crowd`."""
        return self._board.crowd(self._place, name, 1)

    def go(self, name: str) -> None:
        """See `Crowd`."""
        self._board.crowd(self._place, name, -1)
