"""PostgreSQL tables: answers, faults that are never "no such name", deadlines, a server that goes and comes back."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from postroad.aliases.load import DatabaseTable
from postroad.model.errors import TableError
from postroad.store.pgtable import CONNECTIONS, PostgresTable
from postroad.store.sqltable import ROWS_LIMIT
from tests.support.ports import free_port
from tests.support.postgres import PASSWORD, USER, Postgres

QUERY = "SELECT target FROM alias WHERE address = $1 ORDER BY target"
ROWS = """
CREATE TABLE alias (address text, target text);
INSERT INTO alias VALUES ('a@x.example', 'b@y.example, c@y.example'), ('a@x.example', 'd@y.example'),
    ('none@x.example', NULL), ('bad@x.example', '|sh'), ('zoë@x.example', 'zoë@y.example');
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres() as running:
        running.run(ROWS)
        yield running


@asynccontextmanager
async def opened(
    server: Postgres, query: str = QUERY, timeout: float = 10.0, password: str = PASSWORD
) -> AsyncIterator[PostgresTable]:
    table = PostgresTable(server.url, query, timeout, password)
    try:
        yield table
    finally:
        table.close()
        await asyncio.sleep(0)  # in which sockets are closed


async def test_answers(server: Postgres) -> None:
    async with opened(server) as table:
        assert await table.find("a@x.example") == ["b@y.example, c@y.example", "d@y.example"]
        assert await table.find("zoë@x.example") == ["zoë@y.example"]
        assert await table.find("none@x.example") == []
        addresses = DatabaseTable(table)
        assert await addresses.find("a@x.example") == ("b@y.example", "c@y.example", "d@y.example")
        assert await addresses.find("none@x.example") is None
        assert await addresses.find("else'; DROP TABLE alias; --@x.example") is None
        with pytest.raises(TableError, match=r"the answer for bad@x\.example is not addresses"):
            await addresses.find("bad@x.example")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT 7 WHERE $1 <> ''", "the answer for a@x.example is not text"),
        ("SELECT WHERE $1 <> ''", "the answer for a@x.example is not text"),
        (f"SELECT 'x' FROM generate_series(0, {ROWS_LIMIT}) WHERE $1 <> ''", f"more than {ROWS_LIMIT} rows"),
        ("SELECT target FROM nothing WHERE address = $1", 'relation "nothing" does not exist'),
        ("INSERT INTO alias VALUES ($1, 'x') RETURNING target", "cannot execute INSERT in a read-only transaction"),
    ],
)
async def test_what_is_no_answer(server: Postgres, query: str, words: str) -> None:
    async with opened(server, query) as table:
        with pytest.raises(TableError) as caught:
            await table.find("a@x.example")
        assert words in str(caught.value)
        assert str(caught.value).startswith(f"{server.url}: ")


async def test_a_slow_answer_is_none_and_the_next_question_is_not_kept_waiting(server: Postgres) -> None:
    query = "SELECT target FROM alias WHERE address = $1 AND ($1 <> 'a@x.example' OR pg_sleep(60) IS NOT NULL)"
    async with opened(server, query, 2.0) as table:
        with pytest.raises(TableError, match=r"no answer within 2 s"):
            await table.find("a@x.example")
        assert await table.find("zoë@x.example") == ["zoë@y.example"]


async def test_a_server_that_is_frozen_keeps_nobody_waiting() -> None:
    query = "SELECT target FROM alias WHERE address = $1 AND ($1 <> 'a@x.example' OR pg_sleep(60) IS NOT NULL)"
    with Postgres() as server:
        server.run(ROWS)
        async with opened(server, query, 2.0) as table:
            assert await table.find("zoë@x.example") == ["zoë@y.example"]
            server.freeze()
            for _ in range(CONNECTIONS + 1):  # the first over an open connection, the others over none
                async with asyncio.timeout(20):
                    with pytest.raises(TableError, match=r"no answer within 2 s"):
                        await table.find("a@x.example")
            server.thaw()
            assert await table.find("zoë@x.example") == ["zoë@y.example"]


async def test_a_wrong_password_is_told_without_it(server: Postgres) -> None:
    async with opened(server, password="not this one") as table:
        with pytest.raises(TableError, match=f'password authentication failed for user "{USER}"') as caught:
            await table.find("a@x.example")
        assert "not this one" not in str(caught.value)
        with pytest.raises(TableError, match="password authentication failed"):
            table.inspect()


async def test_a_server_that_was_killed_is_asked_again_when_it_is_back() -> None:
    with Postgres() as server:
        server.run(ROWS)
        async with opened(server) as table:
            assert await table.find("zoë@x.example") == ["zoë@y.example"]
            server.kill()
            for _ in range(3):
                with pytest.raises(TableError, match=f"127.0.0.1:{server.port}"):
                    await table.find("zoë@x.example")
            server.start()
            assert await table.find("zoë@x.example") == ["zoë@y.example"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (QUERY, ""),
        ("SELECT target FROM alias", 'the query has 0 parameters; it needs one "$1", for the address'),
        ("SELECT target FROM alias WHERE address = ?", "the query cannot be used: "),
        ("DELETE FROM alias WHERE address = $1", "the query must be one SELECT"),
    ],
)
async def test_inspection(server: Postgres, query: str, words: str) -> None:
    async with opened(server, query) as table:  # on a running loop, as at a reload
        assert table.inspect().startswith(words)
        assert bool(table.inspect()) == bool(words)


def test_a_server_that_is_not_there() -> None:
    table = PostgresTable(f"postgresql://{USER}@127.0.0.1:{free_port()}/postgres", QUERY, 5.0, PASSWORD)
    with pytest.raises(TableError):
        table.inspect()
