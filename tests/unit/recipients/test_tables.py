"""Recipients from lists and SQL, and the door over all tables: who is known, unknown, or cannot be told now."""

from collections.abc import Awaitable
from pathlib import Path

import apsw
import pytest

from postroad.aliases.files import look
from postroad.aliases.table import Domains, Entries, Found, Table
from postroad.aliases.text import parse_entries
from postroad.model.address import parse_mailbox
from postroad.model.errors import TableError
from postroad.model.records import Record, TableLoaded, TableRefused
from postroad.recipients.cache import Remembered
from postroad.recipients.door import Recipients
from postroad.recipients.listed import parse_addresses, parse_list
from postroad.recipients.load import load
from postroad.recipients.service import RecipientService
from postroad.recipients.settings import RecipientSettings
from tests.support.clock import START, ManualClock

QUERY = "SELECT 1 FROM users WHERE address = ?"


def settings(**given: object) -> RecipientSettings:
    return RecipientSettings.model_validate({"domains": ("x.example",), **given})


def door(*entries: RecipientSettings, aliases: tuple[Table, ...] = ()) -> Recipients:
    loaded = load(entries, None)
    assert loaded.faults == []
    return Recipients((*aliases, *loaded.tables))


def at_once(recipients: Recipients, address: str) -> bool:
    known = recipients.knows(parse_mailbox(address))
    assert isinstance(known, bool)
    return known


async def known(recipients: Recipients, address: str) -> bool:
    found = recipients.knows(parse_mailbox(address))
    return await found if isinstance(found, Awaitable) else found


class Slow:
    """A database that answers later, or is down."""

    def __init__(self, *addresses: str, down: bool = False) -> None:
        self.addresses = addresses
        self.down = down
        self.asked: list[str] = []

    async def find(self, key: str) -> Found:
        self.asked.append(key)
        if self.down:
            raise TableError("the database is down")
        return () if key in self.addresses else None

    def table(self, *domains: str) -> Table:
        return Table(name="slow", find=self.find, domains=Domains(domains), is_strict=True, delimiter="+")


def test_a_list_has_addresses_domains_comments_and_what_postfix_writes_behind_them() -> None:
    text = '# ours\n\nInfo@X.example  OK\n  bob@x.example\tand more\n"a b"@x.example x\n<c@x.example>\n@y.example y\n'
    found = parse_list(text)
    assert found.flaws == []
    assert set(found.entries) == {"info@x.example", "bob@x.example", "a b@x.example", "c@x.example", "@y.example"}


def test_every_flaw_of_a_list_is_found_with_its_line() -> None:
    flaws = parse_list("info\nok@x.example\na b@x..example\n@\n").flaws
    assert [flaw.line for flaw in flaws] == [1, 3, 4]
    assert flaws[0].text == '"info": address without a domain'
    assert [flaw.line for flaw in parse_addresses(["no address"]).flaws] == [0]


@pytest.mark.parametrize(
    ("address", "is_known"),
    [
        ("info@x.example", True),
        ("INFO@X.EXAMPLE", True),
        ("info+news@x.example", True),
        ("nobody@x.example", False),
        ("nobody+info@x.example", False),
        ("+info@x.example", False),
        ("postmaster@x.example", True),
        ("PostMaster@x.example", True),
        ("postmaster+x@x.example", False),
        ("any@all.x.example", True),
        ("any@not.x.example", False),
        ("any@elsewhere.example", True),
        ("info%y.example@x.example", False),
    ],
)
def test_who_a_list_knows(address: str, is_known: bool) -> None:
    listed = settings(domains=("x.example", "*.x.example"), addresses=("info@x.example", "@all.x.example"))
    assert at_once(door(listed), address) is is_known


def test_without_a_delimiter_a_detail_is_part_of_the_name() -> None:
    recipients = door(settings(addresses=("info@x.example",), recipient_delimiter=""))
    assert not at_once(recipients, "info+news@x.example")


def test_the_delimiter_can_be_another_one() -> None:
    recipients = door(settings(addresses=("info@x.example",), recipient_delimiter="-"))
    assert at_once(recipients, "info-news@x.example")
    assert not at_once(recipients, "info+news@x.example")


def test_whoever_knows_an_address_makes_it_valid() -> None:
    one, other = settings(addresses=("a@x.example",)), settings(addresses=("b@x.example",))
    assert [at_once(door(one, other), f"{name}@x.example") for name in "abc"] == [True, True, False]


@pytest.mark.parametrize("is_strict", [True, False])
def test_aliases_make_an_address_valid_and_strict_ones_add_their_domains(is_strict: bool) -> None:
    held = Entries(parse_entries({"sales@x.example": ("a@z.example",), "sales@y.example": ("a@z.example",)}))
    aliases = Table(
        name="aliases",
        find=held.find,
        domains=Domains(("x.example", "y.example")),
        is_strict=is_strict,
        delimiter="+",
    )
    recipients = door(settings(addresses=("info@x.example",)), aliases=(aliases,))
    assert at_once(recipients, "sales@x.example")
    assert at_once(recipients, "sales+q3@x.example")
    assert at_once(recipients, "info@x.example")
    assert not at_once(recipients, "nobody@x.example")
    assert at_once(recipients, "nobody@y.example") is not is_strict


async def test_a_source_that_is_down_defers_unless_another_one_knows() -> None:
    broken, sound = Slow(down=True), Slow("b@x.example")
    recipients = Recipients([*load([settings(addresses=("a@x.example",))], None).tables])
    recipients = Recipients([*recipients.tables, broken.table("x.example"), sound.table("x.example")])
    assert at_once(recipients, "a@x.example")
    assert broken.asked == []
    assert await known(recipients, "b+detail@x.example")
    with pytest.raises(TableError, match="is down"):
        await known(recipients, "c@x.example")
    assert await known(recipients, "c@elsewhere.example")
    assert broken.asked == ["b+detail@x.example", "c@x.example"]


async def test_a_table_is_asked_for_the_whole_then_without_detail_then_for_the_domain() -> None:
    slow = Slow()
    assert not await known(Recipients([slow.table("x.example")]), "User+a+b@x.example")
    assert slow.asked == ["user+a+b@x.example", "user@x.example", "@x.example"]


async def test_sql_means_known_when_there_is_a_row_whatever_is_in_it(tmp_path: Path) -> None:
    file = tmp_path / "users.db"
    db = apsw.Connection(str(file))
    db.execute("CREATE TABLE users (address TEXT); INSERT INTO users VALUES ('a@x.example'), ('@all.example')")
    db.close()
    loaded = load(
        [settings(domains=("x.example", "all.example"), sql={"database": f"sqlite://{file}", "query": QUERY})], None
    )
    try:
        recipients = Recipients(loaded.tables)
        assert await known(recipients, "a@x.example")
        assert await known(recipients, "A+b@x.example")
        assert await known(recipients, "any@all.example")
        assert not await known(recipients, "b@x.example")
        file.rename(tmp_path / "gone")
        with pytest.raises(TableError):
            await known(recipients, "a@x.example")
    finally:
        await loaded.close()


def test_what_is_wrong_with_a_query_or_a_list_is_found(tmp_path: Path) -> None:
    file = tmp_path / "list"
    file.write_text("a@x.example\nnobody\n")
    (tmp_path / "users.db").touch()
    sql = {"database": f"sqlite://{tmp_path}/users.db", "query": QUERY}
    loaded = load([settings(sql=sql), settings(file=str(file))], None, inspect=True)
    loaded.release()
    listed, query = loaded.faults
    assert (listed.table, listed.file, listed.line) == (1, str(file), 2)
    assert (query.table, query.file) == (0, "")
    assert "no such table: users" in query.text


async def test_a_list_is_read_again_when_it_changes_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    file, clock = tmp_path / "list", ManualClock()
    file.write_text("a@x.example\n")
    loaded = load([settings(file=str(file))], None)
    recipients = Recipients(loaded.tables)
    records: list[Record] = []
    service = RecipientService(loaded)
    service.start(clock, records.append)
    try:
        file.write_text("b@x.example\nc@x.example\n")
        records += [record for _ in range(2) for record in await look(loaded.files, clock)]
        assert [at_once(recipients, f"{name}@x.example") for name in "abc"] == [False, True, True]
        file.write_text("a@x.example\nb c@\n")
        records += [record for _ in range(2) for record in await look(loaded.files, clock)]
        assert [at_once(recipients, f"{name}@x.example") for name in "abc"] == [False, True, True]
    finally:
        await service.close()
    first, second, refused = records
    assert first == TableLoaded(at=START, table=str(file), entries=1)
    assert second == TableLoaded(at=START, table=str(file), entries=2)
    assert isinstance(refused, TableRefused)
    assert refused.line == 2


def test_what_is_remembered_has_a_life_and_a_bound_for_either_answer() -> None:
    remembered = Remembered(2, known_for=100, unknown_for=10)
    remembered.put("a", 0, is_known=True)
    remembered.put("b", 0, is_known=False)
    assert [remembered.get(key, 9.9) for key in "abc"] == [True, False, None]
    assert [remembered.get(key, 10) for key in "ab"] == [True, None]
    assert remembered.get("a", 100) is None
    assert remembered.was_known("a")
    for number in range(1000):
        remembered.put(f"invented-{number}", 20, is_known=False)
    assert len(remembered) == 3
    assert remembered.get("a", 20) is True
    remembered.put("a", 20, is_known=False)
    assert not remembered.was_known("a")
    assert remembered.get("a", 21) is False


def test_what_was_asked_for_lately_stays() -> None:
    remembered = Remembered(2, known_for=100, unknown_for=10)
    remembered.put("a", 0, is_known=True)
    remembered.put("b", 0, is_known=True)
    assert remembered.get("a", 1)
    remembered.put("c", 1, is_known=True)
    assert [remembered.get(key, 2) for key in "abc"] == [True, None, True]
