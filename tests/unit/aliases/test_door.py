"""The door: answers at once from memory, later from a database, refusals when tables lead nowhere or are down."""

from collections.abc import Awaitable, Mapping

import pytest

from postroad.aliases.door import Aliases
from postroad.aliases.expand import Bounds
from postroad.aliases.table import Domains, Entries, Found, Table
from postroad.aliases.text import parse_entries
from postroad.model.address import NULL_PATH, parse_mailbox
from postroad.model.envelope import Origin, Recipient
from postroad.model.errors import TableError
from postroad.model.expansion import Expanded, Incoming, Unexpanded
from postroad.smtp import replies


class Slow:
    """A database that answers later, or is down."""

    def __init__(self, given: Mapping[str, tuple[str, ...]], *, down: bool = False) -> None:
        self.given = given
        self.down = down
        self.asked: list[str] = []

    async def find(self, key: str) -> Found:
        self.asked.append(key)
        if self.down:
            raise TableError("the database is down")
        return self.given.get(key)


def memory(given: Mapping[str, tuple[str, ...]], *, domains: tuple[str, ...] = (), strict: bool = False) -> Table:
    held = Entries(parse_entries(given))
    return Table(name="memory", find=held.find, domains=Domains(domains), is_strict=strict, delimiter="+")


def slow(database: Slow, *, domains: tuple[str, ...] = (), strict: bool = False) -> Table:
    return Table(name="slow", find=database.find, domains=Domains(domains), is_strict=strict, delimiter="+")


def incoming(*addresses: str) -> Incoming:
    return Incoming(NULL_PATH, [Recipient(parse_mailbox(address)) for address in addresses], Origin(), 1)


def texts(answer: object) -> list[str]:
    assert isinstance(answer, Expanded)
    return [str(one.address) for one in answer.recipients]


def door(*tables: Table) -> Aliases:
    return Aliases(tables, Bounds(20, 100))


def test_memory_answers_at_once() -> None:
    found = door(memory({"a@x.example": ("b@y.example",)})).expand(incoming("a@x.example", "c@x.example"))
    assert texts(found) == ["b@y.example", "c@x.example"]


async def test_a_database_answers_later_and_tables_mix() -> None:
    database = Slow({"b@y.example": ("c@z.example", "d@z.example"), "@w.example": ("e@z.example",)})
    aliases = door(memory({"a@x.example": ("b@y.example",), "d@z.example": ("f@z.example",)}), slow(database))
    pending = aliases.expand(incoming("a@x.example", "any+thing@w.example"))
    assert not isinstance(pending, Expanded | Unexpanded)
    assert texts(await pending) == ["c@z.example", "f@z.example", "e@z.example"]
    assert database.asked[:2] == ["b@y.example", "c@z.example"]


async def test_a_database_that_is_down_defers() -> None:
    aliases = door(memory({"a@x.example": ("b@x.example",)}), slow(Slow({}, down=True), domains=("down.example",)))
    assert texts(aliases.expand(incoming("a@x.example"))) == ["b@x.example"]  # it is not needed for these
    pending = aliases.expand(incoming("a@x.example", "a@down.example"))
    assert not isinstance(pending, Expanded | Unexpanded)
    assert await pending == Unexpanded(replies.ALIASES_UNAVAILABLE, "the database is down")


async def test_what_leads_nowhere_defers() -> None:
    loop = {"a@x.example": ("b@x.example",), "b@x.example": ("a@x.example",)}
    found = door(memory(loop)).expand(incoming("a@x.example"))
    assert isinstance(found, Unexpanded)
    assert found.reply == replies.ALIAS_ERROR
    assert found.reason.startswith("alias loop: ")
    pending = door(slow(Slow(loop))).expand(incoming("a@x.example"))
    assert not isinstance(pending, Expanded | Unexpanded)
    assert await pending == found


async def resolved(known: bool | Awaitable[bool]) -> bool:
    return known if isinstance(known, bool) else await known


@pytest.mark.parametrize(
    ("address", "known"),
    [
        ("a@x.example", True),
        ("A+detail@x.example", True),
        ("b@x.example", False),
        ("Postmaster@x.example", True),
        ("b@y.example", True),
        ("d@z.example", True),
        ("e@z.example", False),
        ("any@catch.example", True),
        ("b@w.example", True),
    ],
)
async def test_unknown_names_of_strict_domains(address: str, known: bool) -> None:
    given = {"a@x.example": ("a@y.example",), "@catch.example": ("a@y.example",)}
    aliases = door(
        memory(given, domains=("x.example", "catch.example"), strict=True),
        memory({"c@w.example": ("a@y.example",)}, domains=("w.example",)),
        slow(Slow({"d@z.example": ("a@y.example",)}), domains=("z.example",), strict=True),
    )
    assert aliases.has_strict
    assert await resolved(aliases.knows(parse_mailbox(address))) is known


def test_domains_named_in_a_file_are_strict_too() -> None:
    held = Entries(parse_entries({"a@x.example": ("a@y.example",)}))
    table = Table(name="f", find=held.find, domains=Domains(()), is_strict=True, named=lambda: frozenset({"x.example"}))
    assert door(table).knows(parse_mailbox("b@x.example")) is False
    assert door(table).knows(parse_mailbox("b@y.example")) is True
    assert not door(memory({})).has_strict
