"""The outlet of traces against a real collector that refuses, closes connections, dies and comes back."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from postroad.model.records import MessageRemoved, RecordsDropped
from postroad.net.clock import SystemClock
from postroad.observe.otlp import make_otlp
from postroad.observe.outlet import Around, Outlet
from postroad.observe.settings import SinkSettings
from tests.support.collector import KEY, SECRET, Collector
from tests.support.records import AT


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


class StillClock(SystemClock):
    """The machine's, but for pauses: they pass when a test says so."""

    passed = 0.0

    def monotonic(self) -> float:
        return self.passed


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def outlet(collector: Collector, clock: StillClock, tmp_path: Path) -> Iterator[Outlet]:
    settings = SinkSettings(to=collector.place, timeout="30s", retry_max="5m")
    around = Around("relay.example.com", tmp_path, {}, {"traces": {KEY: SECRET}})
    outlet = make_otlp("traces", settings, around, clock)
    yield outlet
    outlet.close()


def removed(number: int) -> MessageRemoved:
    return MessageRemoved(at=AT, id=str(number))


def test_spans_arrive_with_the_headers_and_the_resource(collector: Collector, outlet: Outlet) -> None:
    assert outlet.write([removed(1), removed(2)]) == 2
    assert (outlet.fault, outlet.lost) == ("", 0)
    assert [got.attributes["messaging.message.id"] for got in collector.spans] == ["1", "2"]
    assert collector.spans[0].resource["service.name"] == "postroad"
    assert collector.spans[0].resource["host.name"] == "relay.example.com"
    assert collector.seen[0][KEY] == SECRET


def test_what_makes_no_span_makes_no_request(collector: Collector, outlet: Outlet) -> None:
    assert outlet.write([RecordsDropped(at=AT, count=1, sink="traces")]) == 1
    assert collector.bodies == []


def test_a_busy_collector_gets_the_same_again_when_it_asks_for_it(
    collector: Collector, clock: StillClock, outlet: Outlet
) -> None:
    batch = [removed(1)]
    collector.status = 503
    collector.headers = {"Retry-After": "60"}
    assert outlet.write(batch) == 0
    assert outlet.fault == "HTTP 503 Service Unavailable"
    clock.passed += 59
    assert outlet.write(batch) == 0
    assert len(collector.bodies) == 1, "not before the minute that it asked for"
    collector.status = 200
    clock.passed += 1
    assert outlet.write(batch) == 1
    assert len(collector.bodies) == 2
    assert collector.bodies[0] == collector.bodies[1]
    assert (outlet.fault, outlet.lost) == ("", 0)


def test_pauses_double_up_to_a_ceiling(collector: Collector, clock: StillClock, outlet: Outlet) -> None:
    collector.status = 502
    batch = [removed(1)]
    pauses = list[float]()
    assert outlet.write(batch) == 0
    for count in range(2, 14):
        begun = clock.passed
        while len(collector.bodies) < count:
            clock.passed += 1
            assert outlet.write(batch) == 0
        pauses.append(clock.passed - begun)
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]


def test_what_is_refused_for_good_is_counted(collector: Collector, outlet: Outlet) -> None:
    collector.status = 400
    gap = RecordsDropped(at=AT, count=1, sink="traces")
    assert outlet.write([gap, removed(1), removed(2)]) == 3
    assert (outlet.fault, outlet.lost) == ("HTTP 400 Bad Request", 2)
    collector.status = 200
    assert outlet.write([removed(3)]) == 1
    assert (outlet.fault, outlet.lost) == ("", 2)


def test_what_is_refused_in_part_is_counted(collector: Collector, outlet: Outlet) -> None:
    collector.reject = 1
    assert outlet.write([removed(1), removed(2)]) == 2
    assert (outlet.fault, outlet.lost) == ("1 spans were refused: too old", 1)


def test_a_connection_that_was_closed_meanwhile_is_no_fault(collector: Collector, outlet: Outlet) -> None:
    collector.closes = True
    for number in range(20):
        assert outlet.write([removed(number)]) == 1, outlet.fault
        assert outlet.fault == ""
    assert len(collector.spans) == 20


def test_nobody_listens(collector: Collector, clock: StillClock, outlet: Outlet) -> None:
    collector.stop()
    batch = [removed(1)]
    assert outlet.write(batch) == 0
    assert "cannot connect" in outlet.fault
    assert SECRET not in outlet.fault
    collector.start()
    clock.passed += 1
    assert outlet.write(batch) == 1
    assert [got.attributes["messaging.message.id"] for got in collector.spans] == ["1"]


def test_certificates_that_cannot_be_read(tmp_path: Path) -> None:
    settings = SinkSettings(to="otlp+https://127.0.0.1:9", ca=str(tmp_path / "none.pem"))
    outlet = make_otlp("traces", settings, Around("relay.example.com", tmp_path, {}), SystemClock())
    assert outlet.write([removed(1)]) == 0
    assert outlet.fault == "ca: No such file or directory"
    outlet.close()
