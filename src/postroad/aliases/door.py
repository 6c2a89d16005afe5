"""Aliases at work: the two questions of the receiving side, answered at once or, with a database, later.

`expand` is asked once a message before its envelope is made; `knows` is asked at RCPT about strict domains. A table
that cannot answer defers and never bounces; nothing is taken half expanded.
"""

from collections.abc import Awaitable, Generator, Sequence
from typing import TypeVar

from postroad.aliases.expand import Ask, Bounds, ExpansionError, expand, look_up
from postroad.aliases.table import Found, Table
from postroad.model.address import Mailbox
from postroad.model.errors import TableError
from postroad.model.expansion import Expanded, Incoming, Unexpanded
from postroad.smtp import replies

T = TypeVar("T")
Answer = Expanded | Unexpanded


class Aliases:
    """The tables of one configuration."""

    def __init__(self, tables: Sequence[Table], bounds: Bounds) -> None:
        """Ask `tables` in order."""
        self.tables = tuple(tables)
        self.bounds = bounds

    @property
    def has_strict(self) -> bool:
        """True when some domain's unknown names are refused."""
        return any(table.is_strict for table in self.tables)

    def expand(self, incoming: Incoming) -> Answer | Awaitable[Answer]:
        """The recipients that those of `incoming` stand for."""
        try:
            answer = run(expand(self.tables, incoming.recipients, self.bounds), self.tables)
        except (ExpansionError, TableError) as error:
            return _refusal(error)
        return answer if isinstance(answer, Expanded) else self._expand_later(answer)

    async def _expand_later(self, pending: Awaitable[Expanded]) -> Answer:
        try:
            return await pending
        except (ExpansionError, TableError) as error:
            return _refusal(error)

    def knows(self, address: Mailbox) -> bool | Awaitable[bool]:
        """False when `address` is in a strict domain and no table has it; TableError when that cannot be told now.

        Postmaster is known everywhere (RFC 5321 4.5.1).
        """
        domain = address.domain
        if not any(table.owns(domain) for table in self.tables) or address.local.lower() == "postmaster":
            return True
        return run(_is_known(self.tables, address), self.tables)


def _refusal(error: ExpansionError | TableError) -> Unexpanded:
    is_ours = isinstance(error, ExpansionError)
    return Unexpanded(replies.ALIAS_ERROR if is_ours else replies.ALIASES_UNAVAILABLE, str(error))


def _is_known(tables: Sequence[Table], address: Mailbox) -> Generator[Ask, Found, bool]:
    hit = yield from look_up(tables, address)
    return hit is not None


def run(steps: Generator[Ask, Found, T], tables: Sequence[Table]) -> T | Awaitable[T]:
    """What `steps` come to, or an awaitable of it once a table has to wait."""
    answer: Found = None
    try:
        ask = next(steps)
        while True:
            found = tables[ask.table].find(ask.key)
            if isinstance(found, tuple) or found is None:
                answer = found
            else:
                return _run_later(steps, tables, found)
            ask = steps.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result


async def _run_later(steps: Generator[Ask, Found, T], tables: Sequence[Table], pending: Awaitable[Found]) -> T:
    try:
        ask = steps.send(await pending)
        while True:
            found = tables[ask.table].find(ask.key)
            ask = steps.send(found if isinstance(found, tuple) or found is None else await found)
    except StopIteration as end:
        result: T = end.value
        return result
