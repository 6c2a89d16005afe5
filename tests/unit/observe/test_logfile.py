"""Files of records: whole lines alone, rotated by size and day, packed, kept by number, found again after a rename."""

import gzip
import json
import os
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from postroad.model.records import MessageRemoved
from postroad.observe.formats.jsonlines import make_json
from postroad.observe.logfile import FileOutlet, FileTerms
from postroad.observe.rotation import Archive, is_due
from tests.support.clock import ManualClock
from tests.support.records import AT

LINE = len(make_json()(MessageRemoved(at=AT, id="000000")))


def removed(*numbers: int) -> list[MessageRemoved]:
    return [MessageRemoved(at=AT, id=f"{number:06d}") for number in numbers]


def numbers_in(data: bytes) -> list[int]:
    assert data == b"" or data.endswith(b"\n")
    return [int(json.loads(line)["id"]) for line in data.splitlines()]


def outlet(path: Path, clock: ManualClock | None = None, **terms: int) -> FileOutlet:
    return FileOutlet(path, make_json(), clock or ManualClock(), msgspec.convert(terms, FileTerms, strict=False))


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def everything(path: Path) -> list[int]:
    """The numbers in all files, oldest first."""
    old = Archive(path, keep=99, compress=False).old()
    found = []
    for file in old:
        found += numbers_in(gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes())
    return found + numbers_in(path.read_bytes())


@pytest.mark.parametrize("sync", [False, True])
def test_lines_are_appended_to_what_is_there(tmp_path: Path, sync: bool) -> None:
    path = tmp_path / "records.jsonl"
    for start in (0, 2):
        out = outlet(path, sync=sync)
        out.idle()
        assert out.write(removed(start, start + 1)) == 2
        out.close()
    assert numbers_in(path.read_bytes()) == [0, 1, 2, 3]
    assert path.stat().st_mode & 0o777 == 0o640


def test_rotation_by_size_packs_and_keeps_so_many(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    clock = ManualClock()
    out = outlet(path, clock, size=3 * LINE, keep=2)
    archive = Archive(path, keep=2, compress=True)
    for number in range(12):
        assert out.write(removed(number)) == 1
        clock.advance(1)
        out.idle()

    def is_tidy() -> bool:
        out.idle()
        return [file.suffix for file in archive.old()] == [".gz", ".gz"]

    until(is_tidy)
    out.close()
    assert everything(path) == list(range(3, 12))
    assert archive.old()[0].stat().st_mode & 0o777 == 0o640
    assert not list(tmp_path.glob("*.part"))


def test_one_write_fills_several_files(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    out = outlet(path, size=3 * LINE, keep=99, compress=False)
    assert out.write(removed(*range(10))) == 10
    out.close()
    assert everything(path) == list(range(10))
    sizes = [file.stat().st_size for file in (*Archive(path, keep=99, compress=False).old(), path)]
    assert sizes == [3 * LINE, 3 * LINE, 3 * LINE, LINE]


def test_two_rotations_in_one_instant_overwrite_nothing(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    out = outlet(path, size=LINE, keep=99, compress=False)
    for number in range(5):
        assert out.write(removed(number)) == 1
    out.close()
    assert everything(path) == [0, 1, 2, 3, 4]


def test_rotation_by_day(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    clock = ManualClock(time.time_ns() // 1000)
    out = outlet(path, clock, daily=True, size=0, compress=False)
    out.write(removed(0))
    out.write(removed(1))
    clock.advance(86400)
    out.idle()  # a quiet night rotates too
    assert path.read_bytes() == b""
    out.write(removed(2))
    out.close()
    assert numbers_in(path.read_bytes()) == [2]
    assert everything(path) == [0, 1, 2]


def test_when_rotation_is_due() -> None:
    assert not is_due(0, 100, 1, 2, limit=10, daily=True)
    assert is_due(5, 6, 1, 1, limit=10, daily=False)
    assert not is_due(5, 5, 1, 1, limit=10, daily=False)
    assert not is_due(50, 6, 1, 2, limit=0, daily=False)
    assert is_due(5, 0, 1, 2, limit=0, daily=True)


@pytest.mark.parametrize("gone", [False, True])
def test_a_file_that_is_renamed_or_removed_is_made_anew(tmp_path: Path, gone: bool) -> None:
    path = tmp_path / "records.jsonl"
    out = outlet(path)
    out.write(removed(0))
    path.unlink() if gone else path.rename(tmp_path / "records.jsonl.1")
    out.idle()
    assert path.read_bytes() == b""
    out.write(removed(1))
    out.close()
    assert numbers_in(path.read_bytes()) == [1]
    if not gone:
        assert numbers_in((tmp_path / "records.jsonl.1").read_bytes()) == [0]


def test_two_processes_may_write_and_rotate_one_file(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    outs = [outlet(path, size=4 * LINE, keep=99, compress=False) for _ in range(2)]
    for number in range(40):
        assert outs[number % 2].write(removed(number)) == 1
    for out in outs:
        out.close()
    assert everything(path) == list(range(40))


def test_packing_that_was_cut_off_is_done_by_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    old = tmp_path / "records.jsonl-20261126T003000.000000Z"
    old.write_bytes(make_json()(removed(0)[0]))
    (tmp_path / f"{old.name}.part").write_bytes(b"half")
    (tmp_path / "records.jsonl-notes").write_bytes(b"somebody's")
    out = outlet(path)
    out.idle()
    until(lambda: (tmp_path / f"{old.name}.gz").exists() and not old.exists())
    out.close()
    assert everything(path) == [0]
    assert (tmp_path / "records.jsonl-notes").read_bytes() == b"somebody's"


def test_a_folder_that_is_missing_is_told_and_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "later" / "records.jsonl"
    out = outlet(path)
    assert out.write(removed(0)) == 0
    assert "No such file or directory" in out.fault
    path.parent.mkdir()
    assert out.write(removed(0)) == 1
    assert out.fault == ""
    out.close()


def test_a_file_that_cannot_be_renamed_is_written_on_and_that_is_told(tmp_path: Path) -> None:
    path = tmp_path / ("r" * 240)  # its old name would be longer than file systems take
    out = outlet(path, size=2 * LINE)
    for number in range(4):
        assert out.write(removed(number)) == 1
    assert out.write(removed(4, 5, 6)) == 3
    assert "cannot be rotated: File name too long" in out.fault
    out.close()
    assert numbers_in(path.read_bytes()) == [0, 1, 2, 3, 4, 5, 6]


@pytest.fixture
def full_at() -> Iterator[Callable[[int], None]]:
    """Files can grow so far and no further: the system refuses the rest, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda octets: resource.setrlimit(resource.RLIMIT_FSIZE, (octets, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_no_room_leaves_whole_lines_and_the_rest_is_written_later(
    tmp_path: Path, full_at: Callable[[int], None]
) -> None:
    path = tmp_path / "records.jsonl"
    out = outlet(path)
    full_at(3 * LINE + LINE // 2)
    records = removed(0, 1, 2, 3, 4)
    assert out.write(records) == 3
    assert "File too large" in out.fault
    assert numbers_in(path.read_bytes()) == [0, 1, 2]
    assert out.write(records[3:]) == 0
    assert numbers_in(path.read_bytes()) == [0, 1, 2]
    full_at(1 << 30)
    assert out.write(records[3:]) == 2
    assert out.fault == ""
    out.close()
    assert numbers_in(path.read_bytes()) == [0, 1, 2, 3, 4]


def test_a_device_without_room() -> None:
    out = outlet(Path("/dev/full"), size=0)
    assert out.write(removed(0)) == 0
    assert out.fault == "/dev/full: No space left on device"
    out.close()


def test_files_are_not_inherited(tmp_path: Path) -> None:
    out = outlet(tmp_path / "records.jsonl")
    out.idle()
    assert not os.get_inheritable(out._fd)
    out.close()
