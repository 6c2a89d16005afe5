"""The machine lacks open files or memory for a while: mail waits, told once, and the spool is left alone."""

import errno
import os
from pathlib import Path

import pytest

from postroad.model.records import RecipientDeferred, SpoolFaulted, SpoolMended
from postroad.spool.disk import Disk
from tests.support.operating import OperatedWorld, defers, takes


class ShortDisk(Disk):
    """A disk on which nothing can be opened for reading while `lacks` is set."""

    def __init__(self) -> None:
        self.lacks = 0
        self.refused = 0

    def open(self, path: Path, flags: int) -> int:
        if self.lacks and not flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR):
            self.refused += 1
            raise OSError(self.lacks, os.strerror(self.lacks))
        return super().open(path, flags)


@pytest.mark.parametrize("lacks", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
async def test_what_cannot_be_read_for_want_of_files_or_memory_waits_and_is_told_once(
    lacks: int, tmp_path: Path
) -> None:
    world = OperatedWorld(tmp_path / "spool", defers)
    disk = world.disk = ShortDisk()
    await world.start()
    world.send("a@one.example")
    world.send("b@two.example")
    await world.at_rest()
    assert len(world.of(RecipientDeferred)) == 2
    disk.lacks = lacks
    await world.passing(600)
    (faulted,) = world.of(SpoolFaulted)
    assert faulted.reason.endswith(os.strerror(lacks))
    assert world.of(SpoolMended) == []
    assert 0 < disk.refused < 60
    disk.lacks = 0
    world.hop = takes
    await world.until(lambda: len(world.copies) == 2, step=1.0)
    await world.at_rest()
    assert len(world.of(SpoolFaulted)) == len(world.of(SpoolMended)) == 1
    await world.stop()
