"""Sessions with strangers that never reach the spool: the listeners of a configuration, without sockets.

For whoever wants to know what a session would be told: policies, limits and replies are those of the configuration,
and nothing that is said has an effect. A message can neither be put nor begun.
"""

from collections.abc import Callable
from typing import Final

from postroad.config.schema import Config
from postroad.house.counting.counters import Counting, LocalCrowd
from postroad.house.counting.table import table_of
from postroad.house.front import Way, front_of
from postroad.house.known import read_for_show
from postroad.listener.server import Listeners
from postroad.listener.terms import Terms
from postroad.message.dmarcreport import Tally
from postroad.model.envelope import Envelope
from postroad.model.errors import SpoolError
from postroad.model.queueid import QueueIds
from postroad.model.records import Record
from postroad.model.work import Stored, Work
from postroad.net.clock import Clock
from postroad.net.turn import Turn
from postroad.spool.draft import Draft

NOTHING: Final = "nothing is taken in a session that only asks"


class Strangers:
    """The listeners; to be made where an event loop runs."""

    def __init__(self, config: Config, clock: Clock, call_soon: Callable[[Callable[[], None]], object]) -> None:
        """By `config`; ConfigError when a table of it is broken. `call_soon` is the event loop's."""
        self._config = config = config.model_copy(update={"rates": ()})  # who only asks uses nothing up
        counting = Counting(table_of(1, is_shared=False), clock, _tell_nobody)
        way = Way(NoSpool(), _admit_nothing, QueueIds(0), _tell_nobody, clock, counting, LocalCrowd(), Tally(0))
        known = read_for_show(config, clock, _tell_nobody)
        self._front = front_of(config, known, None, way)
        self._listeners = Listeners(
            welcome=self._front.welcome,
            emit=_tell_nobody,
            now=clock.now,
            monotonic=clock.monotonic,
            at_turn_end=Turn(call_soon).add,
            start=0,
        )

    def terms_of(self, listener: str) -> Terms:
        """What a session at the listener of this name is told."""
        return self._listeners.terms(listener, self._config.listeners[listener])

    async def close(self) -> None:
        """Give up what the tables have open."""
        await self._front.known.close()
        self._front.asked.close()


class NoSpool:
    """Stands where accepted mail would go."""

    def has_room(self) -> bool:
        """There is no disk that could be full."""
        return True

    def expect(self, change: int) -> None:
        """Nothing comes."""

    def draft(self, on_drain: Callable[[], None]) -> Draft:  # noqa: ARG002  the shape of `Spooling`
        """No content begins."""
        raise SpoolError(NOTHING)

    def put(
        self,
        envelope: Envelope,  # noqa: ARG002
        content: bytes | Draft,  # noqa: ARG002
        done: Callable[[Stored, list[Work]], None],  # noqa: ARG002
        failed: Callable[[SpoolError], None],
    ) -> None:
        """No message is taken."""
        failed(SpoolError(NOTHING))


def _admit_nothing(_stored: Stored, _works: list[Work]) -> None:
    """Nothing comes this way."""


def _tell_nobody(_record: Record) -> None:
    """A session that only asks leaves no trace."""
