"""The log sink: everything arrives, and what had no room is counted where it is missing."""

import json
import os
from pathlib import Path

from postroad.model.records import MessageRemoved
from postroad.observe.log import LogSink
from tests.support.clock import ManualClock
from tests.support.records import AT, SAMPLES


def test_every_record_is_written(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "log", os.O_CREAT | os.O_WRONLY)
    sink = LogSink("json", fd, ManualClock())
    for sample in SAMPLES:
        sink(sample)
    assert sink.close()
    os.close(fd)
    told = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["record"] for line in told] == [type(sample).__name__ for sample in SAMPLES]


def test_what_had_no_room_is_counted_in_its_place() -> None:
    read, write = os.pipe()
    clock = ManualClock()
    sink = LogSink("json", write, clock, limit=1000)
    removed = [MessageRemoved(at=AT, id=f"{number:013d}") for number in range(100)]
    for record in removed:
        sink(record)
    sink.flush()
    first = os.read(read, 100_000).splitlines()
    sink.close(timeout=10)
    os.close(write)
    with os.fdopen(read, "rb") as rest:
        lines = first + rest.read().splitlines()
    told = [json.loads(line) for line in lines]
    assert [line["id"] for line in told[:-1]] == [record.id for record in removed[: len(told) - 1]]
    assert told[-1]["record"] == "RecordsDropped"
    assert told[-1]["count"] + len(told) - 1 == len(removed)
    assert len(told) < 12


def test_the_count_is_told_at_the_end_though_there_is_no_room(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "log", os.O_CREAT | os.O_WRONLY)
    sink = LogSink("json", fd, ManualClock(), limit=1000)
    for number in range(100):
        sink(MessageRemoved(at=AT, id=f"{number:013d}"))
    assert sink.close()
    os.close(fd)
    told = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert told[-1]["record"] == "RecordsDropped"
    assert told[-1]["count"] + len(told) - 1 == 100


def test_the_count_stands_before_the_next_line_that_fits() -> None:
    read, write = os.pipe()
    sink = LogSink("text", write, ManualClock(), limit=200)
    for number in range(6):
        sink(MessageRemoved(at=AT, id=f"{number:013d}"))
    sink.flush()
    first = os.read(read, 1000)
    taken = first.count(b"\n")
    while sink._dropped:  # until the thread has counted what it wrote
        sink(MessageRemoved(at=AT, id="9999999999999"))
    assert sink.close()
    os.close(write)
    with os.fdopen(read, "rb") as rest:
        lines = rest.read().splitlines()
    assert 0 < taken < 6
    assert lines[0].endswith(b" records left out")
    assert int(lines[0].split()[-4]) >= 6 - taken
    assert [line.split()[-1] for line in lines[1:]] == [b"9999999999999"]


def test_a_record_without_words_writes_nothing(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "log", os.O_CREAT | os.O_WRONLY)
    sink = LogSink("postfix", fd, ManualClock(), hostname="relay.example.com")
    too_many = next(sample for sample in SAMPLES if getattr(sample, "reply", None) and "Too many" in str(sample))
    sink(too_many)
    assert sink.close()
    os.close(fd)
    assert (tmp_path / "log").read_bytes() == b""
