"""Keeps what is used up of the long limits of `[[rates]]` on disk: every minute, and at the end.

Only what lasts an hour or longer is worth it; of very many accounts the fullest are kept. No message waits for it.
What was counted since the last time is lost when the whole server is killed; the death of one of its processes loses
nothing.
"""

from collections.abc import Callable, Sequence
from heapq import nlargest
from typing import Final

from postroad.house.counting.counters import walk
from postroad.house.keeping import Keeper
from postroad.model.counts import Kept
from postroad.model.errors import SpoolError
from postroad.model.records import Emit
from postroad.net.clock import Clock
from postroad.policy.rates.table import Table

ACCOUNTS: Final = 10_000
_LONG: Final = 3_600_000_000


class AccountKeeper(Keeper[Kept]):
    """One server's; `is_wanted` tells whether the configuration in force has rates."""

    def __init__(
        self,
        table: Table,
        clock: Clock,
        emit: Emit,
        is_wanted: Callable[[], bool],
        *,
        load: Callable[[], list[Kept]] | None,
        save: Callable[[Sequence[Kept]], None],
    ) -> None:
        """Count what was kept, unless the table has it still; `load` and `save` raise SpoolError."""
        super().__init__(clock, emit, save)
        self._table = table
        self._is_wanted = is_wanted
        if load is None or not is_wanted():
            return
        try:
            for one in load():
                table.restore(one, clock.now())
        except SpoolError as error:
            self.faulted(f"{error}; rates are counted anew")

    async def find(self) -> list[Kept] | None:
        """What is used up now of what lasts."""
        if not self._is_wanted():
            return None
        found = [
            one
            async for one in walk(self._table, self._clock, self._clock.now())
            if one.period >= _LONG or not one.period
        ]
        return nlargest(ACCOUNTS, found, key=_fullness) if len(found) > ACCOUNTS else found


def _fullness(one: Kept) -> float:
    return one.used / max(one.count, 1)
