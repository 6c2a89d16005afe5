"""What several nodes count together in a real Redis, beside a table of one node; killed, stopped, and back again."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postroad.config.schema import Config
from postroad.house.counting.counters import Counting, NodeCounts, server_of
from postroad.house.counting.table import table_of
from postroad.model.counts import Judged, Take, account_of, parse_cap
from postroad.model.errors import ConfigError
from postroad.model.records import CountsFound, CountsLost, Record
from tests.support.clock import START, ManualClock
from tests.support.redis import PASSWORD, RedisServer

HOUR = 3_600_000_000


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


def config_of(redis: RedisServer | None, **counting: object) -> Config:
    named = {} if redis is None else {"redis": redis.url, "password": PASSWORD}
    return Config.model_validate(
        {
            "listeners": {"mx": {"bind": ["127.0.0.1:0"]}},
            "rates": [{"name": "a", "limits": ["1/1h"]}],
            "counting": {**named, "timeout": "20s", **counting},
        }
    )


class Node:
    """One node with its table, its clock and its records."""

    def __init__(self, redis: RedisServer, prefix: str, **counting: object) -> None:
        self.clock = ManualClock()
        self.records: list[Record] = []
        self.table = table_of(256, is_shared=False)
        config = config_of(redis, prefix=prefix, **counting)
        self.counts = Counting(self.table, self.clock, self.records.append).counts_of(config)

    async def take(self, *takes: Take, now: int = START) -> Judged:
        judged = self.counts.take(takes, now)
        return judged if isinstance(judged, tuple) else await judged


def account(who: str, label: str = "1h", rate: str = "a") -> str:
    return account_of(rate, label, who)


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(1, 4), st.integers(0, 2), st.booleans(), st.booleans()), max_size=40
    )
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_redis_answers_as_a_table_does(redis: RedisServer, questions: list[tuple[int, int, int, bool, bool]]) -> None:
    async def run() -> None:
        node, other = Node(redis, "property"), table_of(256, is_shared=False)
        await node.counts.forget(lambda _: True)
        caps = [parse_cap("6/1m"), parse_cap("9/5m"), parse_cap("20/day")]
        now = START
        for pause, amount, kind, is_soft, is_look in questions:
            now += pause * 1_000_000
            takes = [
                Take(account("bob", cap.label), cap, amount, is_soft and at == 0, is_look)
                for at, cap in enumerate(caps[kind:])
            ]
            found, expected = await node.take(*takes, now=now), other.take(takes, now)
            assert [(one.take, one.used, one.opens) for one in found] == [
                (one.take, one.used, one.opens) for one in expected
            ]
        await node.counts.close()

    asyncio.run(run())


async def test_nodes_share_a_cap_exactly(redis: RedisServer) -> None:
    nodes = [Node(redis, "shared") for _ in range(3)]
    takes = [Take(account("bob"), parse_cap("50/1h")), Take(account("all"), parse_cap("1000/1h"))]
    answers = await asyncio.gather(*(nodes[number % 3].take(*takes) for number in range(120)))
    assert sum(not judged for judged in answers) == 50
    caps = {account_of("a", "1h", ""): takes[1].cap}
    used = {one.account.rpartition("\n")[2]: one.used async for one in nodes[0].counts.accounts(caps)}
    assert used == {"bob": 50, "all": 50}
    for node in nodes:
        assert sum(one.used for number in range(node.table.sets) for one in node.table.kept(number, START)) < 100
        assert not node.records
        await node.counts.close()


async def test_what_is_given_back_is_there_for_others(redis: RedisServer) -> None:
    one, two = Node(redis, "back"), Node(redis, "back")
    take = Take(account("bob"), parse_cap("2/1h"), 2)
    assert not await one.take(take)
    assert await two.take(take)
    one.counts.give_back([take], START, START)
    while await two.take(take):  # it is told without waiting for the answer
        await asyncio.sleep(0.01)
    assert await one.counts.forget(lambda name: name == account("bob")) == 1
    assert not await one.take(take)
    await one.counts.close()
    await two.counts.close()


async def test_errors_are_told_without_waiting(redis: RedisServer) -> None:
    one, two = Node(redis, "told"), Node(redis, "told")
    cap = parse_cap("1/1h")
    one.counts.count([Take(account("192.0.2.1"), cap, is_soft=True)], START)
    while not await two.take(Take(account("192.0.2.1"), cap, is_look=True)):
        await asyncio.sleep(0.01)
    await one.counts.close()
    await two.counts.close()


async def test_accounts_are_gone_when_nothing_of_them_counts(redis: RedisServer) -> None:
    node = Node(redis, "gone")
    for cap in (parse_cap("5/1h"), parse_cap("5/day")):
        await node.take(Take(account("bob", cap.label), cap))
    remote = node.counts._remote
    lives = [await remote._redis.pttl(remote._key(account("bob", label))) for label in ("1h", "day")]  # type: ignore[union-attr]
    assert all(0 < life <= 25 * 3600 * 1000 for life in lives)
    await node.counts.close()


async def test_without_the_server_each_node_counts_for_itself_and_comes_back(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as redis:
        one, two = Node(redis, "lost", retry="5s"), Node(redis, "lost", retry="5s")
        cap = parse_cap("10/1h")
        take = Take(account("bob"), cap)
        assert [bool(await one.take(take)) for _ in range(6)] == [False] * 6
        assert [bool(await two.take(take)) for _ in range(6)] == [False] * 4 + [True] * 2
        redis.kill()
        assert [bool(await one.take(take)) for _ in range(6)] == [False] * 4 + [True] * 2  # its own six count on
        assert [bool(await two.take(take)) for _ in range(8)] == [False] * 6 + [True] * 2
        (lost,) = one.records
        assert isinstance(lost, CountsLost)
        assert lost.server == redis.url
        assert PASSWORD not in repr(lost)
        redis.start()
        assert await one.take(take)  # not asked again so soon
        one.clock.advance(5)
        assert not await one.take(take)
        assert [type(record) for record in one.records] == [CountsLost, CountsFound]
        await one.counts.close()
        await two.counts.close()


async def test_a_server_that_stands_still_costs_one_deadline_for_all(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as redis:
        node = Node(redis, "still", timeout="300ms")
        cap = parse_cap("1000/1h")
        assert not await node.take(Take(account("bob"), cap))
        redis.freeze()
        answers = await asyncio.gather(*(node.take(Take(account("bob"), cap)) for _ in range(50)))
        assert answers == [()] * 50
        for _ in range(500):
            assert isinstance(node.counts.take([Take(account("bob"), cap)], START), tuple)  # nobody waits any more
        redis.thaw()
        node.clock.advance(6)
        config = config_of(redis, prefix="still")
        patient = Counting(node.table, node.clock, node.records.append).counts_of(config)
        found = patient.take([Take(account("eve"), cap, 7)], START)
        assert not isinstance(found, tuple)
        assert await found == ()
        found = patient.take([Take(account("eve"), cap, 1000)], START)
        assert not isinstance(found, tuple)
        assert [one.used for one in await found] == [7]
        assert [type(record) for record in node.records] == [CountsLost]
        await node.counts.close()
        await patient.close()


async def test_a_wrong_password_is_a_server_that_does_not_answer(redis: RedisServer) -> None:
    node = Node(redis, "wrong", password="not it")
    assert await node.take(Take(account("bob"), parse_cap("1/1h"), 2))
    (lost,) = node.records
    assert isinstance(lost, CountsLost)
    assert "not it" not in repr(lost)
    await node.counts.close()


def test_a_configuration_keeps_its_counts_as_long_as_nothing_of_them_changes(redis: RedisServer) -> None:
    counting = Counting(table_of(256, is_shared=False), ManualClock(), list[Record]().append)
    first = counting.counts_of(config_of(redis))
    assert counting.counts_of(config_of(redis)) is first
    assert counting.counts_of(config_of(redis, timeout="1s")) is not first
    plain = counting.counts_of(config_of(None))
    assert isinstance(plain, NodeCounts)
    assert plain.take([Take(account("bob"), parse_cap("1/1h"))], START) == ()


def test_a_password_that_cannot_be_read_is_a_mistake(redis: RedisServer) -> None:
    with pytest.raises(ConfigError, match=r"counting\.password"):
        server_of(config_of(redis, password={"env": "POSTROAD_NOT_THERE"}))
    assert PASSWORD not in repr(server_of(config_of(redis)))
