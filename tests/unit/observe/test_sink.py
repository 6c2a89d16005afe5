"""The queue of a sink: it never blocks or grows past its bound, and every record is written or counted."""

import time
from collections.abc import Callable, Sequence
from threading import Event

from postroad.model.records import LaneResumed, MessageRemoved, Record, RecordsDropped, SinkFaulted, SinkRecovered
from postroad.observe.fanout import Fanout
from postroad.observe.selection import select
from postroad.observe.sink import DELAY, REPORT_EVERY, QueuedSink
from tests.support.clock import ManualClock
from tests.support.records import AT


class Basin:
    """An outlet in memory that takes at most `room` more records, and waits for `gate` before each write."""

    def __init__(self, room: int = 1 << 30) -> None:
        self.room = room
        self.fault = ""
        self.lost = 0
        self.records: list[Record] = []
        self.gate = Event()
        self.gate.set()
        self.error: Exception | None = None
        self.closed = False

    def write(self, records: Sequence[Record]) -> int:
        assert self.gate.wait(30)
        if self.error is not None:
            raise self.error
        taken = min(len(records), self.room)
        self.room -= taken
        self.records += records[:taken]
        self.fault = "" if taken == len(records) else "full"
        return taken

    def idle(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def removed(number: int) -> MessageRemoved:
    return MessageRemoved(at=AT, id=str(number))


def make(basin: Basin, clock: ManualClock, *, limit: int = 1000, records: Sequence[str] = ()) -> QueuedSink:
    return QueuedSink("audit", basin, clock, wanted=select(records), limit=limit)


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_records_are_written_in_order_after_the_delay() -> None:
    basin, clock = Basin(), ManualClock()
    sink = make(basin, clock)
    for number in range(10):
        sink(removed(number))
    assert basin.records == []
    clock.advance(DELAY)
    until(lambda: len(basin.records) == 10)
    sink(removed(10))
    assert sink.close()
    assert basin.records == [removed(number) for number in range(11)]
    assert basin.closed
    assert sink.lost == 0


def test_only_what_is_selected() -> None:
    basin = Basin()
    sink = make(basin, ManualClock(), records=["Lane*"])
    sink(removed(1))
    sink(LaneResumed(at=AT, lane="mx:example.net"))
    assert sink.close()
    assert basin.records == [LaneResumed(at=AT, lane="mx:example.net")]


def test_a_stuck_outlet_costs_only_what_passes_the_bound_and_that_is_told_in_it_and_elsewhere() -> None:
    basin, clock = Basin(), ManualClock()
    basin.gate.clear()
    sink = make(basin, clock, limit=100)
    for number in range(300):
        sink(removed(number))
    assert sink.lost == 200
    told = list(sink.report())
    assert told == [RecordsDropped(at=clock.now(), count=200, sink="audit")]
    sink(told[0])  # what is told of it comes back through the fan-out, and is no record for it
    sink(SinkFaulted(at=AT, sink="audit", reason="full"))
    assert sink.lost == 200
    assert list(sink.report()) == []
    sink.flush()
    basin.gate.set()
    until(lambda: len(basin.records) >= 100)
    sink(removed(300))
    assert sink.close()
    drops = [record for record in basin.records if isinstance(record, RecordsDropped)]
    assert sum(record.count for record in drops) == 200
    kept = [record for record in basin.records if isinstance(record, MessageRemoved)]
    assert kept == [removed(number) for number in (*range(100), 300)]


def test_losses_are_told_now_and_then_and_at_the_end() -> None:
    basin, clock = Basin(), ManualClock()
    basin.gate.clear()
    sink = make(basin, clock, limit=100)
    for number in range(101):
        sink(removed(number))
    assert len(list(sink.report())) == 1
    sink(removed(200))
    assert list(sink.report()) == []
    clock.advance(REPORT_EVERY / 1_000_000)
    assert [record.count for record in sink.report() if isinstance(record, RecordsDropped)] == [1]
    sink(removed(201))
    assert [record.count for record in sink.report(last=True) if isinstance(record, RecordsDropped)] == [1]
    basin.gate.set()
    assert sink.close()


def test_what_an_outlet_does_not_take_waits_and_is_written_when_it_does() -> None:
    basin, clock = Basin(room=3), ManualClock()
    sink = make(basin, clock)
    for number in range(10):
        sink(removed(number))
    sink.flush()
    until(lambda: basin.fault)
    assert list(sink.report()) == [SinkFaulted(at=clock.now(), sink="audit", reason="full")]
    assert list(sink.report()) == []
    clock.advance(7)
    assert list(sink.report()) == []
    basin.room = 100
    until(lambda: len(basin.records) == 10)
    until(lambda: not basin.fault)
    clock.advance(4)
    assert list(sink.report()) == []  # it might fail again
    clock.advance(1)
    assert list(sink.report()) == [SinkRecovered(at=clock.now(), sink="audit", seconds=7.0)]
    assert sink.close()
    assert basin.records == [removed(number) for number in range(10)]
    assert sink.lost == 0


def test_at_the_end_what_is_not_taken_is_counted() -> None:
    basin = Basin(room=4)
    sink = make(basin, ManualClock())
    for number in range(10):
        sink(removed(number))
    assert sink.close()
    assert sink.lost == 6
    sink(removed(11))
    assert sink.lost == 7


def test_a_thread_that_is_stuck_for_good_is_left_and_its_records_counted() -> None:
    basin = Basin()
    basin.gate.clear()
    sink = make(basin, ManualClock())
    for number in range(10):
        sink(removed(number))
    assert not sink.close(timeout=0.05)
    assert sink.lost == 10
    basin.gate.set()


def test_a_bug_in_an_outlet_costs_its_batch_and_is_told() -> None:
    basin, clock = Basin(), ManualClock()
    basin.error = ValueError("no")
    sink = make(basin, clock)
    sink(removed(1))
    sink.flush()
    until(lambda: sink.lost == 1)
    faulted, dropped = sink.report()
    assert isinstance(faulted, SinkFaulted)
    assert "ValueError: no" in faulted.reason
    assert dropped == RecordsDropped(at=clock.now(), count=1, sink="audit")
    basin.error = None
    sink(removed(2))
    assert sink.close()
    assert basin.records == [RecordsDropped(at=clock.now(), count=1, sink="audit"), removed(2)]


def test_a_stuck_sink_delays_no_other() -> None:
    stuck, good, clock = Basin(), Basin(), ManualClock()
    stuck.gate.clear()
    sinks = [make(stuck, clock, limit=100), make(good, clock)]
    emit = Fanout(sinks)
    for number in range(500):
        emit(removed(number))
    clock.advance(DELAY)
    until(lambda: len(good.records) == 500)
    assert stuck.records == []
    stuck.gate.set()
    assert all(sink.close() for sink in sinks)
