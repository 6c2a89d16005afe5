"""The bell of the folder of drops: everybody rings, nobody waits, and nothing but a FIFO is written to."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from postroad.store.dropbell import hush, open_bell, ring
from postroad.store.drops import DropFolder


@pytest.fixture
def folder(tmp_path: Path) -> DropFolder:
    made = DropFolder(tmp_path / "drops")
    made.prepare()
    return made


@pytest.fixture
def bell(folder: DropFolder) -> Iterator[int]:
    fd = open_bell(folder.path)
    yield fd
    os.close(fd)


def has_rung(fd: int) -> bool:
    try:
        return bool(os.read(fd, 1))
    except BlockingIOError:
        return False


def test_everybody_may_ring_and_only_the_server_hears(folder: DropFolder, bell: int) -> None:
    facts = (folder.path / "bell").stat()
    assert stat.S_ISFIFO(facts.st_mode)
    assert stat.S_IMODE(facts.st_mode) == 0o622
    assert not has_rung(bell)
    ring(folder.path)
    assert has_rung(bell)


def test_a_flood_blocks_nobody_and_is_over_when_it_was_heard(folder: DropFolder, bell: int) -> None:
    for _ in range(70_000):  # more than a FIFO holds
        ring(folder.path)
    hush(bell)
    assert not has_rung(bell)
    hush(bell)


def test_nobody_waits_for_a_server_that_does_not_run(folder: DropFolder) -> None:
    ring(folder.path)
    (folder.path / "bell").unlink()
    ring(folder.path)


def test_it_is_made_once_and_kept(folder: DropFolder, bell: int) -> None:
    folder.prepare()
    ring(folder.path)
    assert has_rung(bell)


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_no_fifo_is_left_alone(tmp_path: Path, folder: DropFolder, kind: str) -> None:
    path = folder.path / "bell"
    path.unlink()
    target = path if kind == "file" else tmp_path / "target"
    target.write_text("mine")
    if kind == "link":
        path.symlink_to(target)
    mode = stat.S_IMODE(target.stat().st_mode)
    ring(folder.path)
    with pytest.raises(OSError, match="no FIFO|symbolic"):
        open_bell(folder.path)
    with pytest.raises(OSError, match="no FIFO|symbolic"):
        folder.prepare()
    assert target.read_text() == "mine"
    assert stat.S_IMODE(target.stat().st_mode) == mode
