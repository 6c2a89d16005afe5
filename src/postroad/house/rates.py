"""Keeps what is used up of long rates on disk: every minute, and at the end; and counts it again at the start.

Never on the way of a message. What was counted since the last time is lost when the process is killed.
"""

from collections.abc import Callable, Sequence
from typing import Final

from postroad.house.keeping import Keeper
from postroad.model.errors import SpoolError
from postroad.model.records import Emit
from postroad.model.usage import Usage
from postroad.net.clock import Clock
from postroad.queue.shaping import Shaping
from postroad.queue.usage import restore, used

_PORTION: Final = 200  # accounts looked at before other work has its turn


class RateKeeper(Keeper[Usage]):
    """One courier's; `shaping` gives the rules in force, None without any."""

    def __init__(
        self,
        shaping: Callable[[], Shaping | None],
        clock: Clock,
        emit: Emit,
        *,
        load: Callable[[], list[Usage]],
        save: Callable[[Sequence[Usage]], None],
    ) -> None:
        """Count what was kept; `load` and `save` raise SpoolError, `save` may take its time on a thread."""
        super().__init__(clock, emit, save)
        self._shaping = shaping
        rules = shaping()
        if rules is None:
            return
        try:
            restore(rules, load(), clock.now())
        except SpoolError as error:
            self.faulted(f"{error}; rates are counted anew")

    async def find(self) -> list[Usage] | None:
        """What is used up now."""
        rules = self._shaping()
        if rules is None:
            return None
        found: list[Usage] = []
        for one in used(rules, self._clock.now()):
            found.append(one)
            if len(found) % _PORTION == 0:
                await self._clock.sleep(0)
        return found
