"""The writer: in order, complete at close, bounded, and never blocking whoever adds."""

import os
import select
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from postroad.observe.writer import BATCH, DELAY, LineWriter
from tests.support.clock import ManualClock


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    yield read, write
    for fd in (read, write):
        try:
            os.close(fd)
        except OSError:
            continue


def test_lines_are_written_after_the_delay_and_not_before(pipe: tuple[int, int]) -> None:
    clock = ManualClock()
    writer = LineWriter(pipe[1], clock)
    assert writer.add(b"one\n")
    assert writer.add(b"two\n")
    assert clock.next_due() == pytest.approx(DELAY)
    clock.advance(DELAY)
    assert os.read(pipe[0], 100) == b"one\ntwo\n"  # blocks until the thread wrote
    assert clock.next_due() is None
    assert writer.close()


def test_much_is_written_without_the_timer(pipe: tuple[int, int]) -> None:
    clock = ManualClock()
    writer = LineWriter(pipe[1], clock)
    line = b"x" * (BATCH - 1) + b"\n"
    reader = threading.Thread(target=lambda: os.read(pipe[0], 10))
    reader.start()
    assert writer.add(line)
    reader.join()
    assert clock.next_due() is None
    drain(pipe[0], len(line) - 10)
    assert writer.close()


def drain(fd: int, count: int) -> bytes:
    out = b""
    while len(out) < count:
        out += os.read(fd, count - len(out))
    return out


def test_close_writes_everything_in_order(tmp_path: Path) -> None:
    path = tmp_path / "log"
    fd = os.open(path, os.O_CREAT | os.O_WRONLY)
    writer = LineWriter(fd, ManualClock())
    lines = [b"line %d\n" % number for number in range(50_000)]
    assert all(writer.add(line) for line in lines)
    assert writer.close()
    os.close(fd)
    assert path.read_bytes() == b"".join(lines)


def test_nothing_is_taken_after_close(pipe: tuple[int, int]) -> None:
    writer = LineWriter(pipe[1], ManualClock())
    assert writer.close()
    assert not writer.add(b"late\n")
    assert writer.close()


def test_memory_is_bounded_while_nobody_reads(pipe: tuple[int, int]) -> None:
    writer = LineWriter(pipe[1], ManualClock(), limit=1 << 20)
    line = b"y" * 999 + b"\n"
    taken = sum(writer.add(line) for _ in range(5000))
    # What the pipe itself holds (64 KiB) is still "being written": the batch is not done.
    assert taken == (1 << 20) // len(line)
    assert not writer.close(timeout=0.0)
    assert drain(pipe[0], taken * len(line)) == line * taken
    assert writer.close()


def test_room_comes_back_when_the_reader_does(pipe: tuple[int, int]) -> None:
    writer = LineWriter(pipe[1], ManualClock(), limit=100_000)
    line = b"z" * 99_999 + b"\n"
    assert writer.add(line)
    assert not writer.add(line)
    drain(pipe[0], len(line))
    writer.close()


def test_a_reader_that_left_costs_only_its_lines(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    writer = LineWriter(pipe[1], ManualClock())
    assert writer.add(b"for nobody\n")
    assert writer.close()


def test_a_non_blocking_descriptor_is_written_in_full(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    writer = LineWriter(pipe[1], ManualClock())
    lines = [b"%06d" % number * 100 + b"\n" for number in range(1000)]
    for line in lines:
        assert writer.add(line)
    writer.flush()
    assert drain(pipe[0], sum(map(len, lines))) == b"".join(lines)
    assert writer.close()


def test_lines_that_share_a_pipe_with_others_are_written_in_small_writes(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    write = os.write

    def counted(fd: int, data: bytes) -> int:
        if fd == pipe[1]:
            written.append(len(data))
        return write(fd, data)

    monkeypatch.setattr(os, "write", counted)
    writer = LineWriter(pipe[1], ManualClock(), is_shared=True)
    lines = [b"%d %s\n" % (number, b"x" * (number * 37 % 900)) for number in range(60)]
    for line in lines:
        assert writer.add(line)
    assert writer.close()
    assert os.read(pipe[0], 1 << 20) == b"".join(lines)
    assert max(written) <= select.PIPE_BUF
    assert len(written) < len(lines)
