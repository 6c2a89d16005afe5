"""Sinks from their settings: begun, watched, exchanged while records flow, closed together."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from postroad.model.records import MessageRemoved, Record, RecordsDropped, SinkFaulted
from postroad.net.clock import SystemClock
from postroad.observe.fanout import Fanout
from postroad.observe.outlet import Around
from postroad.observe.settings import SinkSettings
from postroad.observe.sinks import WATCH_EVERY, Sinks
from tests.support.clock import ManualClock
from tests.support.hook import Hook
from tests.support.records import AT


def removed(number: int) -> MessageRemoved:
    return MessageRemoved(at=AT, id=str(number))


def around(folder: Path, secrets: Mapping[str, str] | None = None) -> Around:
    return Around("relay.example.com", folder, secrets or {})


def ids_in(path: Path) -> list[str]:
    return [record["id"] for line in path.read_text().splitlines() if "id" in (record := json.loads(line))]


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_without_sinks_nothing_runs(tmp_path: Path) -> None:
    clock, log = ManualClock(), list[Record]()
    emit = Fanout((log.append,))
    sinks = Sinks({}, around(tmp_path), clock, emit)
    before = emit._sinks
    sinks.start()
    assert clock.next_due() is None
    assert emit._sinks == before
    sinks.close()


def test_a_change_loses_nothing_and_leaves_what_stays_alone(tmp_path: Path) -> None:
    clock = ManualClock()
    emit = Fanout(())
    first = {name: SinkSettings(to=f"file:{tmp_path}/{name}") for name in ("stays", "goes", "changes")}
    sinks = Sinks(first, around(tmp_path), clock, emit)
    sinks.start()
    emit(removed(1))
    stays = sinks._running["stays"][0]
    second = {
        "stays": SinkSettings(to=f"file:{tmp_path}/stays"),
        "changes": SinkSettings(to=f"file:{tmp_path}/changed"),
        "comes": SinkSettings(to=f"file:{tmp_path}/comes"),
    }
    sinks.change(second, around(tmp_path))
    assert sinks._running["stays"][0] is stays
    emit(removed(2))
    until(lambda: all(sink.has_ended for sink in sinks._leaving))
    clock.advance(WATCH_EVERY)
    assert sinks._leaving == []
    sinks.close()
    assert ids_in(tmp_path / "stays") == ["1", "2"]
    assert ids_in(tmp_path / "goes") == ids_in(tmp_path / "changes") == ["1"]
    assert ids_in(tmp_path / "changed") == ids_in(tmp_path / "comes") == ["2"]


def test_what_a_leaving_sink_loses_is_told(tmp_path: Path) -> None:
    clock, log = ManualClock(), list[Record]()
    emit = Fanout((log.append,))
    sinks = Sinks({"full": SinkSettings(to="file:/dev/full", rotate_size=0)}, around(tmp_path), clock, emit)
    sinks.start()
    for number in range(5):
        emit(removed(number))
    sinks.change({}, around(tmp_path))
    until(lambda: all(sink.has_ended for sink in sinks._leaving))
    clock.advance(WATCH_EVERY)
    drops = [record for record in log if isinstance(record, RecordsDropped)]
    assert [(record.sink, record.count) for record in drops] == [("full", 5)]
    assert [record.sink for record in log if isinstance(record, SinkFaulted)] == ["full"]
    assert clock.next_due() is None
    sinks.close()


async def test_a_new_secret_signs_what_the_old_sink_left(tmp_path: Path) -> None:
    clock = SystemClock()
    emit = Fanout(())
    with Hook(b"new") as hook:
        hook.hang = True
        settings = {"crm": SinkSettings(to=hook.url, timeout=0.2, delay=0.05, records=("MessageRemoved",))}
        sinks = Sinks(settings, around(tmp_path, {"crm": "old"}), clock, emit)
        sinks.start()
        emit(removed(1))
        sinks.change(settings, around(tmp_path, {"crm": "new"}))
        emit(removed(2))
        while not all(sink.has_ended for sink in sinks._leaving):
            await asyncio.sleep(0.01)
        hook.hang = False
        while len(hook.records()) < 2:
            await asyncio.sleep(0.01)
        sinks.close()
        assert sorted(record["id"] for record in hook.records()) == ["1", "2"]
