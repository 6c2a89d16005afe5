"""Files: read at start, read again when they have changed and settled, broken ones told and left out of force."""

import asyncio
import os
from pathlib import Path

import pytest

from postroad.aliases.expand import Bounds
from postroad.aliases.files import LOOK_EVERY, FileTable, look
from postroad.aliases.load import find_loops, load
from postroad.aliases.service import AliasService
from postroad.aliases.settings import AliasSettings
from postroad.model.records import Record, TableLoaded, TableRefused
from tests.support.clock import START, ManualClock

BOUNDS = Bounds(20, 1000)


def settings(**given: object) -> AliasSettings:
    return AliasSettings.model_validate(given)


async def looks(table: FileTable, times: int = 2) -> list[Record]:
    clock = ManualClock()
    return [record for _ in range(times) for record in await look([table], clock)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "virtual"
    path.write_text("a@x.example b@x.example\n")
    return path


async def test_a_changed_file_is_taken_once_it_has_settled(file: Path) -> None:
    table = FileTable(file, is_regexp=False)
    table.load()
    find = table.find
    assert find("a@x.example") == ("b@x.example",)
    assert await looks(table) == []
    file.write_text("a@x.example c@x.example\nd@x.example e@x.example\n")
    assert await looks(table, 1) == []  # it may still be written
    assert find("a@x.example") == ("b@x.example",)
    assert await looks(table, 1) == [TableLoaded(at=START, table=str(file), entries=2)]
    assert find("a@x.example") == ("c@x.example",)
    assert await looks(table) == []


async def test_a_file_that_grows_between_looks_is_let_alone(file: Path) -> None:
    table = FileTable(file, is_regexp=False)
    table.load()
    for number in range(5):
        with file.open("a") as out:
            out.write(f"n{number}@x.example b@x.example\n")
        assert await looks(table, 1) == []
    assert await looks(table, 1) == [TableLoaded(at=START, table=str(file), entries=6)]


async def test_another_file_in_its_place_with_the_same_size_and_time(file: Path) -> None:
    table = FileTable(file, is_regexp=False)
    table.load()
    other = file.with_name("other")
    other.write_text("a@x.example z@x.example\n")
    before = file.stat()
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(file)
    assert len(await looks(table)) == 1
    assert table.find("a@x.example") == ("z@x.example",)


async def test_a_broken_file_leaves_the_old_one_in_force(file: Path) -> None:
    table = FileTable(file, is_regexp=False)
    table.load()
    file.write_text("a@x.example c@x.example\nbroken\nso too\n")
    reason = '"broken" has nothing to its right'
    assert await looks(table, 4) == [TableRefused(at=START, table=str(file), line=2, reason=reason, problems=2)]
    assert table.find("a@x.example") == ("b@x.example",)
    file.unlink()
    gone = TableRefused(
        at=START, table=str(file), line=0, reason="cannot be read: No such file or directory", problems=1
    )
    assert await looks(table, 4) == [gone]
    assert table.find("a@x.example") == ("b@x.example",)
    file.write_bytes(b"a@x.example c@x.example\n\xff")
    assert await looks(table) == [
        TableRefused(at=START, table=str(file), line=2, reason="is not UTF-8 text", problems=1)
    ]
    file.write_text("a@x.example d@x.example\n")
    assert await looks(table) == [TableLoaded(at=START, table=str(file), entries=1)]
    assert table.find("a@x.example") == ("d@x.example",)


async def test_expressions_are_swapped_too(file: Path) -> None:
    file.write_text("/^(.*)@x.example$/ $1@y.example\n")
    table = FileTable(file, is_regexp=True)
    table.load()
    assert table.find("a@x.example") == ("a@y.example",)
    file.write_text("/^(.*)@x.example$/ $1@z.example\n/(/ b@x.example\n")
    assert [type(record) for record in await looks(table)] == [TableRefused]
    assert table.find("a@x.example") == ("a@y.example",)
    file.write_text("/^(.*)@x.example$/ $1@z.example\n")
    assert await looks(table) == [TableLoaded(at=START, table=str(file), entries=1)]
    assert table.find("a@x.example") == ("a@z.example",)


async def test_the_service_tells_what_it_loaded_and_looks_after_it(file: Path) -> None:
    file.write_text("a@x.example b@x.example\na@x.example c@x.example\n")
    service = AliasService(load([settings(file=str(file))]), BOUNDS)
    assert service.broken == []
    clock = ManualClock()
    records: list[Record] = []
    told = records.append
    service.start(clock, told)
    assert records == [TableLoaded(at=START, table=str(file), entries=1, doubts=1)]
    file.write_text("a@x.example c@x.example\n")
    for _ in range(3):
        await clock.run(LOOK_EVERY)
        async with asyncio.timeout(20):
            while clock.next_due() is None:  # the thread reads
                await asyncio.sleep(0.001)
    assert [type(record) for record in records[1:]] == [TableLoaded]
    await service.close()
    nothing = AliasService(load([]), BOUNDS)
    nothing.start(clock, told)
    await nothing.close()
    assert nothing.door is None


def test_every_fault_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "v").write_text("bad\nx@x.example y@y.example\nx@x.example z@y.example\n")
    (tmp_path / "r").write_text("/(/ a@x.example\n")
    given = [
        settings(file=str(tmp_path / "v")),
        settings(regexp=str(tmp_path / "r")),
        settings(file=str(tmp_path / "none")),
        settings(sql={"database": f"sqlite://{tmp_path}/none.db", "query": "SELECT ?"}),
    ]
    tables = load(given, inspect=True)
    tables.close()
    found = [(fault.table, fault.line, fault.is_doubt, Path(fault.file).name) for fault in tables.faults]
    assert found == [(0, 1, False, "v"), (0, 3, True, "v"), (1, 1, False, "r"), (2, 0, False, "none"), (3, 0, True, "")]


def test_a_strict_file_names_a_domain(tmp_path: Path) -> None:
    file = tmp_path / "v"
    file.write_text("a@x.example b@x.example\n")
    assert [fault.text for fault in load([settings(file=str(file), strict=True)]).faults] == [
        "strict needs domains, or a line with a domain alone on its left"
    ]
    file.write_text("x.example  is ours\na@x.example b@x.example\n")
    tables = load([settings(file=str(file), strict=True)])
    assert tables.faults == []
    assert tables.tables[0].owns("x.example")
    assert not tables.tables[0].owns("y.example")


def test_loops_are_found_before_mail_comes(tmp_path: Path) -> None:
    file = tmp_path / "v"
    file.write_text("a@x.example b@x.example\nc@x.example d@x.example\n")
    tables = load([settings(file=str(file)), settings(entries={"b@x.example": ("a@x.example",)})])
    faults = find_loops(tables, BOUNDS)
    assert [(fault.table, fault.is_doubt, fault.text[:24]) for fault in faults] == [
        (0, True, "a@x.example: alias loop:"),
        (1, True, "b@x.example: alias loop:"),
    ]


def test_a_hundred_thousand_entries(tmp_path: Path) -> None:
    file = tmp_path / "v"
    file.write_text("".join(f"user{n}@x{n % 500}.example  box{n}@y.example\n" for n in range(100_000)))
    table = FileTable(file, is_regexp=False)
    assert table.load().flaws == []
    assert table.count == 100_000
    assert table.find("user99999@x499.example") == ("box99999@y.example",)
    assert table.find("user99999@x498.example") is None
