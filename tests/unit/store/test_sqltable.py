"""SQLite tables: answers, faults that are never "no such name", deadlines, databases that are swapped."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from postroad.aliases.load import DatabaseTable
from postroad.model.errors import TableError
from postroad.store.sqltable import ROWS_LIMIT, SqliteTable

QUERY = "SELECT target FROM alias WHERE address = ? ORDER BY target"


def fill(path: Path, *rows: tuple[str, object]) -> None:
    db = apsw.Connection(str(path))
    db.execute("CREATE TABLE alias (address TEXT, target)")
    db.executemany("INSERT INTO alias VALUES (?, ?)", rows)
    db.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "aliases.db"
    fill(
        file,
        ("a@x.example", "b@y.example, c@y.example"),
        ("a@x.example", "d@y.example"),
        ("none@x.example", None),
        ("number@x.example", 7),
        ("bad@x.example", "|sh"),
    )
    return file


@pytest.fixture
def table(path: Path) -> Iterator[SqliteTable]:
    found = SqliteTable(path, QUERY, 5.0)
    yield found
    found.close()


async def test_answers(table: SqliteTable) -> None:
    assert await table.find("a@x.example") == ["b@y.example, c@y.example", "d@y.example"]
    assert await table.find("none@x.example") == []
    assert await table.find("else@x.example") == []
    addresses = DatabaseTable(table)
    assert await addresses.find("a@x.example") == ("b@y.example", "c@y.example", "d@y.example")
    assert await addresses.find("none@x.example") is None
    assert await addresses.find("else'; DROP TABLE alias; --@x.example") is None


async def test_what_is_no_answer(table: SqliteTable, path: Path) -> None:
    with pytest.raises(TableError, match="the answer for number@x.example is not text"):
        await table.find("number@x.example")
    with pytest.raises(TableError, match="the answer for bad@x.example is not addresses"):
        await DatabaseTable(table).find("bad@x.example")
    wide = SqliteTable(
        path,
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {ROWS_LIMIT + 1}) SELECT ?1 FROM n",
        5.0,
    )
    with pytest.raises(TableError, match="more than 10000 rows"):
        await wide.find("a@x.example")
    wide.close()


async def test_a_database_that_is_not_there_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "later.db"
    table = SqliteTable(path, QUERY, 5.0)
    with pytest.raises(TableError, match="unable to open database file"):
        await table.find("a@x.example")
    fill(path, ("a@x.example", "b@y.example"))
    assert await table.find("a@x.example") == ["b@y.example"]
    other = tmp_path / "other.db"
    fill(other, ("a@x.example", "z@y.example"))
    other.replace(path)
    assert await table.find("a@x.example") == ["z@y.example"]
    path.write_bytes(b"no database at all" * 100)
    path.with_name("later.db").touch()
    broken = SqliteTable(path, QUERY, 5.0)
    with pytest.raises(TableError, match="not a database"):
        await broken.find("a@x.example")
    broken.close()
    table.close()


async def test_it_is_never_written(table: SqliteTable, path: Path) -> None:
    writing = SqliteTable(path, "DELETE FROM alias WHERE address = ? RETURNING target", 5.0)
    with pytest.raises(TableError, match="readonly"):
        await writing.find("a@x.example")
    writing.close()
    assert len(await table.find("a@x.example")) == 2


async def test_a_query_without_end_is_cut_off_and_others_go_on(path: Path) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE ?1 <> 'quick')"
    table = SqliteTable(path, f"{numbers} SELECT 'found' FROM n WHERE i < 0 OR ?1 = 'quick'", 0.3)
    with pytest.raises(TableError, match="no answer within 0.3 s"):
        await table.find("slow")
    async with asyncio.timeout(20):
        while True:  # the thread is free again as soon as it was interrupted
            try:
                assert await table.find("quick") == ["found"]
                break
            except TableError:
                await asyncio.sleep(0.01)
    table.close()


async def test_a_locked_database_defers(path: Path) -> None:
    owner = apsw.Connection(str(path))
    owner.execute("BEGIN EXCLUSIVE")
    table = SqliteTable(path, QUERY, 0.1)
    with pytest.raises(TableError):
        await table.find("a@x.example")
    owner.execute("ROLLBACK")
    async with asyncio.timeout(20):
        while True:
            try:
                assert len(await table.find("a@x.example")) == 2
                break
            except TableError:
                await asyncio.sleep(0.01)
    table.close()
    owner.close()


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (QUERY, ""),
        ("SELECT target FROM alias WHERE address = ?1 OR address = ?1", ""),
        ("SELECT target FROM alias", "the query has 0 parameters"),
        ("SELECT target FROM alias WHERE address = ? OR address = ?", "the query has 2 parameters"),
        ("SELECT target FROM missing WHERE address = ?", "the query cannot be used: no such table: missing"),
        ("SELECT target FROM alias WHERE address = ?; SELECT 1", "the query must be one SELECT"),
        ("DELETE FROM alias WHERE address = ?", "the query must be one SELECT"),
        ("SELEC", "the query cannot be used"),
    ],
)
def test_queries_are_checked(path: Path, query: str, words: str) -> None:
    table = SqliteTable(path, query, 5.0)
    assert table.inspect().startswith(words)
    assert bool(table.inspect()) is bool(words)
    table.close()
