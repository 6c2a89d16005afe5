"""The one question at RCPT, "may this recipient exist?", over all that is there to ask, aliases included.

Whoever knows an address makes it valid. It is unknown only when all that are for its domain have said so: one that
cannot tell now leaves the question open, and the mail is deferred (RFC 5321 3.6.2). Postmaster is known everywhere
(RFC 5321 4.5.1). What is in memory is answered without an await.
"""

from collections.abc import Awaitable, Generator, Iterator, Sequence

from postroad.aliases.expand import Ask, split_detail
from postroad.aliases.table import Found, Table
from postroad.aliases.text import key_of
from postroad.model.address import Mailbox
from postroad.model.errors import TableError

Heard = Found | TableError


class Recipients:
    """All tables of one configuration; they are asked in order, so those that cost least come first."""

    def __init__(self, tables: Sequence[Table]) -> None:
        """Ask `tables`: those of aliases and those of recipients."""
        self.tables = tuple(tables)

    def knows(self, address: Mailbox) -> bool | Awaitable[bool]:
        """False when `address` is in a domain whose names are all known, and nobody knows it.

        TableError when that cannot be told now.
        """
        domain = address.domain
        if not any(table.owns(domain) for table in self.tables) or address.local.lower() == "postmaster":
            return True
        steps = _is_known(self.tables, address)
        heard: Heard = None
        try:
            ask = next(steps)
            while True:
                found = self._find(ask)
                if isinstance(found, Awaitable):
                    return self._knows_later(steps, found)
                heard = found
                ask = steps.send(heard)
        except StopIteration as end:
            known: bool = end.value
            return known

    async def _knows_later(self, steps: Generator[Ask, Heard, bool], pending: Awaitable[Found]) -> bool:
        found: Heard | Awaitable[Found] = pending
        try:
            while True:
                try:
                    heard = await found if isinstance(found, Awaitable) else found
                except TableError as error:
                    heard = error
                found = self._find(steps.send(heard))
        except StopIteration as end:
            known: bool = end.value
            return known

    def _find(self, ask: Ask) -> Heard | Awaitable[Found]:
        try:
            return self.tables[ask.table].find(ask.key)
        except TableError as error:
            return error


def _is_known(tables: Sequence[Table], address: Mailbox) -> Generator[Ask, Heard, bool]:
    fault: TableError | None = None
    for number, table in enumerate(tables):
        if not table.covers(address.domain):
            continue
        for key in keys_of(table, address):
            heard = yield Ask(number, key)
            if isinstance(heard, TableError):
                fault = fault or heard
                break
            if heard is not None:
                return True
    if fault is not None:
        raise fault
    return False


def keys_of(table: Table, address: Mailbox) -> Iterator[str]:
    """What `table` is asked with about `address`: the whole, without its detail, its domain."""
    if table.is_whole:
        yield address.text
        return
    yield key_of(address)
    user, detail = split_detail(address.local, table.delimiter)
    if detail:
        yield f"{user.lower()}@{address.domain}"
    yield f"@{address.domain}"
