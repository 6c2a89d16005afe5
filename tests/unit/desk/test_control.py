"""The control socket: what is asked is answered, what makes no sense is told, and nobody else may ask."""

import asyncio
import json
import os
import stat
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from postroad.config.schema import Config
from postroad.desk.control import CALLERS, ControlServer
from postroad.desk.protocol import Reloaded, Running
from postroad.desk.rates import InForce, RateDesk
from postroad.house.counting.counters import NodeCounts
from postroad.house.counting.table import table_of
from postroad.house.guard.board import GuardBoard
from postroad.house.guard.guard import Guard
from postroad.house.guard.orders import GuardOrders
from postroad.model.option import OptionChange
from postroad.model.records import Emit, Record
from postroad.net import control as net_control
from postroad.net.control import LINE_LIMIT, Caller, user_name
from postroad.net.process.inherited import Inherited
from postroad.policy.rates.choice import Choice, Who
from postroad.policy.rates.settings import RateSettings
from postroad.queue.times import NEVER
from postroad.routing.lanes import lane_named
from postroad.spool.filters import Query
from postroad.spool.listing import Count
from tests.support.operating import OperatedWorld, is_down

RUNNING = Running("1.2.3", 42, 7)


class Desk:
    """A world with a control socket."""

    def __init__(self, world: OperatedWorld, path: Path) -> None:
        self.world = world
        self.path = path
        self.sinks = world.sinks
        self.told: list[Record] = []
        memory = GuardBoard(1, bytes(16))
        config = Config.model_validate(
            {
                "data_dir": str(path.parent),
                "listeners": {"test": {"bind": ["127.0.0.1:2525"]}},
                "bans": {"never": ["198.51.100.0/24"]},
                "breaker": {},
            }
        )
        self.keeper = Guard(config, memory, world.clock, self.tell)
        self.guard = GuardOrders(self.keeper, world.operator, world.clock, self.tell)
        desk = world.spool.desk
        self.server = ControlServer(
            path,
            world.operator,
            clock=world.clock,
            lanes=world.dispatcher.lanes_state,
            totals=desk.totals,
            lane_named=lane_named,
            watch=self.watch,
            reload=self.reload,
            compare=self.compare,
            upgrade=self.upgrade,
            running=RUNNING,
            rates=self.rates(),
            guard=self.guard,
            plain=self.plain,
        )

    async def plain(self, lane: str) -> tuple[str, ...]:
        return (f"mx.{lane}[192.0.2.1]:25",)

    def tell(self, record: Record) -> None:
        self.world.records.append(record)

    def watch(self, sink: Emit) -> Any:
        self.sinks.append(sink)
        return lambda: self.sinks.remove(sink)

    async def reload(self, by: str) -> Reloaded:
        return Reloaded(f"asked by {by}")

    def rates(self) -> RateDesk:
        """Two logins, one of which has used all up."""
        world = self.world
        choices = [Choice(RateSettings(name="hourly", per=("login",), limits=("10/1h", "50/day")))]
        counts = NodeCounts(table_of(256, is_shared=False), world.clock, self.told.append)
        for login, count in (("bob", 10), ("eve", 4)):
            counts.table.take(choices[0].takes(Who("192.0.2.1", login, frozenset(), "mx"), count), world.clock.now())
        return RateDesk(lambda: InForce(choices, counts), world.clock, self.told.append)

    async def upgrade(self, by: str) -> tuple[str, ...]:
        return (f"not for {by}",)

    async def compare(self, file: Path) -> Reloaded:
        return Reloaded(str(file), (OptionChange("hostname", '"a"', '"b"'),))

    async def ask(self, request: bytes | Mapping[str, object]) -> list[dict[str, Any]]:
        """All answers to one request; time passes meanwhile."""
        line = request if isinstance(request, bytes) else json.dumps(request).encode() + b"\n"
        reader, writer = await asyncio.open_unix_connection(str(self.path))
        writer.write(line)
        reading = asyncio.create_task(reader.read())
        await self.world.until(reading.done)
        writer.close()
        return [json.loads(one) for one in (await reading).splitlines()]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    world = await OperatedWorld(tmp_path / "spool", is_down, suspend=["1h"]).start()
    desk = Desk(world, tmp_path / "control.sock")
    await desk.server.start()
    yield desk
    await desk.server.stop()
    assert not desk.path.exists()
    await world.stop()


async def test_an_order_is_counted_carried_out_and_recorded_with_its_user(desk: Desk) -> None:
    world = desk.world
    for number in range(3):
        world.send(f"user{number}@one.example")
    await world.at_rest()
    assert await desk.ask({"do": "count", "query": {"domain": "one.example"}}) == [
        {"done": True, "count": {"messages": 3, "recipients": 3}}
    ]
    request = {"do": "act", "action": "hold", "query": {"domain": "one.example"}, "selection": "s", "reason": "r"}
    *progress, last = await desk.ask(request)
    assert progress == [{"progress": 3}]
    assert last == {"done": True, "tally": {"recipients": 3, "messages": 3, "unconcerned": 0, "busy": 0}}
    (acted,) = [one for one in world.records if type(one).__name__ == "OperatorActed"]
    assert (acted.uid, acted.by) == (os.geteuid(), net_control.user_name(os.geteuid()))  # type: ignore[attr-defined]  # its type was asked for


async def test_suspensions_and_lanes(desk: Desk) -> None:
    world = desk.world
    world.send("user@one.example")
    await world.at_rest()
    (answer,) = await desk.ask({"do": "suspend", "kind": "next-hop", "name": "one.*", "seconds": 0, "reason": "r"})
    assert answer == {"done": True, "names": ["mx:one.example"]}
    (answer,) = await desk.ask({"do": "lanes"})
    assert [(one["name"], one["wait"]) for one in answer["lanes"]] == [
        ("mx:one.example", "an operator has suspended the next hop")
    ]
    assert [(one["name"], one["until"]) for one in answer["suspensions"]] == [("one.*", NEVER)]
    world.sites["mx:one.example"] = "big"
    assert await desk.ask({"do": "site", "pattern": "*"}) == [{"done": True}]
    (answer,) = await desk.ask({"do": "resume", "kind": "next-hop", "name": "*"})
    assert [one["name"] for one in answer["suspensions"]] == ["one.*"]


async def test_a_lane_that_is_suspended_is_told_as_such_though_nothing_of_it_is_in_memory(desk: Desk) -> None:
    await desk.ask({"do": "suspend", "kind": "next-hop", "name": "one.*", "seconds": 0, "reason": "r"})
    (answer,) = await desk.ask({"do": "lanes", "names": ["mx:one.example"]})
    assert "plain" not in answer["lanes"][0]
    (answer,) = await desk.ask({"do": "lanes", "names": ["mx:one.example", "mx:two.example"], "plain": True})
    assert {one["plain"][0] for one in answer["lanes"]} == {
        "mx.mx:one.example[192.0.2.1]:25",
        "mx.mx:two.example[192.0.2.1]:25",
    }
    assert {one["name"]: one.get("wait") for one in answer["lanes"]} == {
        "mx:one.example": "an operator has suspended the next hop",
        "mx:two.example": "nothing is ready",
    }


async def test_many_lanes_come_in_lines_that_are_not_too_long(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postroad.desk.control.LANES_TOLD", 2)
    for number in range(5):
        desk.world.send(f"user@{number}.example")
    await desk.world.at_rest()
    answers = await desk.ask({"do": "lanes"})
    assert [len(answer["lanes"]) for answer in answers] == [2, 2, 1]
    assert {lane["name"] for answer in answers for lane in answer["lanes"]} == {f"mx:{n}.example" for n in range(5)}
    assert [answer.get("done", False) for answer in answers] == [False, False, True]


@pytest.mark.parametrize(
    "request_line",
    [
        b"\n",
        b"no json\n",
        b"{}\n",
        b'{"do":"sing"}\n',
        b'{"do":"act","action":"sing","query":{},"selection":""}\n',
        b'{"do":"act","action":"reroute","query":{},"selection":"","lane":"ftp://x"}\n',
        b'{"do":"act","action":"reroute","query":{},"selection":"","lane":"mx,smtp://b"}\n',
        b'{"do":"suspend","kind":"planet","name":"x","seconds":1}\n',
        b'{"do":"suspend","kind":"site","name":"","seconds":1}\n',
        b'{"do":"count","query":{"limit":"many"}}\n',
        b"x" * (LINE_LIMIT + 10) + b"\n",
    ],
)
async def test_nonsense_is_told_as_such(desk: Desk, request_line: bytes) -> None:
    (answer,) = await desk.ask(request_line)
    assert answer["usage"] is True
    assert answer["error"]


async def test_only_the_owner_and_root_may_ask(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stat.S_IMODE(desk.path.stat().st_mode) == 0o600
    stranger = Caller(1, os.geteuid() + 1, "stranger")
    monkeypatch.setattr("postroad.desk.control.caller_of", lambda writer: stranger)
    (answer,) = await desk.ask({"do": "lanes"})
    assert "only the user" in answer["error"]


async def test_callers_are_bounded(desk: Desk) -> None:
    idle = [await asyncio.open_unix_connection(str(desk.path)) for _ in range(CALLERS)]
    (answer,) = await desk.ask({"do": "lanes"})
    assert "try again" in answer["error"]
    for _, writer in idle:
        writer.close()
    await desk.world.until(lambda: desk.server._callers == 0)
    (answer,) = await desk.ask({"do": "lanes"})
    assert answer["done"] is True


async def test_a_watch_tells_what_happens_and_leaves_no_sink_behind(desk: Desk) -> None:
    world = desk.world
    reader, writer = await asyncio.open_unix_connection(str(desk.path))
    writer.write(b'{"do":"watch","seconds":1}\n')
    await world.until(lambda: bool(desk.sinks))
    world.send("user@one.example")
    told: list[dict[str, Any]] = []
    while not any(one.get("activity", {}).get("deferred") for one in told):
        reading = asyncio.create_task(reader.readline())
        await world.until(reading.done)
        told.append(json.loads(await reading))
    assert told[-1]["activity"]["messages"] == 1
    (lane,) = told[-1]["lanes"]
    assert (lane["name"], lane["deferred"]) == ("mx:one.example", 1)
    writer.close()
    await world.until(lambda: not desk.sinks)


async def test_a_socket_left_behind_is_replaced_and_a_long_path_is_no_obstacle(desk: Desk, tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 40)
    folder.mkdir()
    for _ in range(2):
        net_control.bind_control(folder / "control.sock").close()  # its name stays
    listening = net_control.bind_control(folder / "control.sock")
    client = net_control.ControlClient(folder / "control.sock", 1.0)
    client.__exit__(None, None, None)
    listening.close()
    with pytest.raises(ConnectionRefusedError):
        net_control.ControlClient(folder / "control.sock", 1.0)


async def test_an_upgrade_says_why_not_and_who_runs_is_told(desk: Desk) -> None:
    user = user_name(os.geteuid())
    assert await desk.ask({"do": "upgrade"}) == [{"done": True, "problems": [f"not for user {user}"]}]
    running = {"version": "1.2.3", "pid": 42, "started": 7}
    assert await desk.ask({"do": "running"}) == [{"done": True, "running": running}]


async def test_the_socket_is_handed_over_and_who_asks_meanwhile_waits(desk: Desk) -> None:
    (given,) = desk.server.hand_over()
    reader, writer = await asyncio.open_unix_connection(str(desk.path))
    writer.write(b'{"do":"running"}\n')
    successor = Desk(desk.world, desk.path)
    await successor.server.start(Inherited([given]))
    assert json.loads(await reader.readline())["running"]["version"] == "1.2.3"
    writer.close()
    await successor.server.stop()


async def test_accounts_of_rates_are_shown_and_begun_anew(desk: Desk) -> None:
    (answer,) = await desk.ask({"do": "rates"})
    rows = [(one["account"], one["label"], one["used"], one["count"]) for one in answer["rates"]]
    assert rows == [("bob", "1h", 10, 10), ("eve", "1h", 4, 10), ("bob", "day", 10, 50), ("eve", "day", 4, 50)]
    (answer,) = await desk.ask({"do": "rates", "login": "Bob", "most": 1})
    assert [one["label"] for one in answer["rates"]] == ["1h"]
    (answer,) = await desk.ask({"do": "rates", "rate": "daily"})
    assert answer == {"done": True}
    (answer,) = await desk.ask({"do": "rates", "reset": True})
    assert answer["usage"]
    (answer,) = await desk.ask({"do": "rates", "login": "bob", "reset": True, "reason": "r"})
    assert answer == {"done": True, "begun_anew": 2}
    (answer,) = await desk.ask({"do": "rates"})
    assert {one["account"] for one in answer["rates"]} == {"eve"}
    (acted,) = desk.told
    assert msgspec.to_builtins(acted)["selection"] == "rates login bob: 2 accounts"


async def test_bans_by_order(desk: Desk) -> None:
    (answer,) = await desk.ask({"do": "bans", "action": "add", "network": "192.0.2.0/24", "seconds": 600})
    until = desk.world.clock.now() // 1_000_000 + 600
    ban = {"network": "192.0.2.0/24", "until": until, "kind": "order", "times": 1}
    assert answer == {"done": True, "bans": [ban]}
    (answer,) = await desk.ask({"do": "bans", "action": "add", "network": "2001:db8::1"})
    assert [(one["network"], one["until"]) for one in answer["bans"]] == [("2001:db8::/64", 0)]
    (answer,) = await desk.ask({"do": "bans", "action": "list"})
    assert [one["network"] for one in answer["bans"]] == ["192.0.2.0/24", "2001:db8::/64"]
    (answer,) = await desk.ask({"do": "bans", "action": "list", "network": "192.0.2.9"})
    assert [one["network"] for one in answer["bans"]] == ["192.0.2.0/24"]
    assert await desk.ask({"do": "bans", "action": "remove", "network": "192.0.2.9"}) == [{"done": True}]
    (answer,) = await desk.ask({"do": "bans", "action": "remove", "network": "192.0.0.0/16"})
    assert [one["network"] for one in answer["bans"]] == ["192.0.2.0/24"]
    told = [type(record).__name__ for record in desk.world.records]
    assert told[-3:] == ["NetworkBanned", "NetworkBanned", "NetworkUnbanned"]
    for wrong in ({"action": "add", "network": "::/0"}, {"action": "add"}, {"action": "list", "network": "10.0.0.1/8"}):
        (answer,) = await desk.ask({"do": "bans", **wrong})
        assert answer["usage"]


async def test_accounts_by_order(desk: Desk) -> None:
    world = desk.world
    for number in range(3):
        world.send(f"user{number}@one.example")
    await world.at_rest()
    (answer,) = await desk.ask({"do": "account", "action": "hold", "login": "ann", "reason": "strange"})
    (one,) = answer["accounts"]
    assert (one["account"]["standing"], one["account"]["reason"]) == ("held", "strange")
    (answer,) = await desk.ask({"do": "account", "action": "list"})
    assert [one["login"] for one in answer["accounts"]] == ["ann"]
    await desk.ask({"do": "account", "action": "lock", "login": "ann"})
    assert desk.keeper.accounts.is_locked("ann")
    (answer,) = await desk.ask({"do": "account", "action": "release", "login": "ann"})
    assert "locked" in answer["error"]
    (answer,) = await desk.ask({"do": "account", "action": "unlock", "login": "ann"})
    assert answer["accounts"] == [{"login": "ann", "amounts": answer["accounts"][0]["amounts"]}]
    for wrong in ({"action": "unlock", "login": "ann"}, {"action": "burn", "login": "ann"}, {"action": "lock"}):
        (answer,) = await desk.ask({"do": "account", **wrong})
        assert answer["usage"]
    handled = [record.action for record in world.records if type(record).__name__ == "AccountHandled"]  # type: ignore[attr-defined]
    assert handled == ["hold", "lock", "unlock"]
    assert await world.spool.desk.count(Query()) == Count(3, 3)  # nobody else's mail was touched
