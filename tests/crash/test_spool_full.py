"""A disk that is really full: new mail is refused, nothing is lost, and it recovers by itself.

On a small tmpfs of its own; where this user may not mount one, with a limit on the size of files instead.
"""

import asyncio
import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from postroad.model.errors import SpoolError
from postroad.model.records import SpoolDamaged, SpoolFaulted, SpoolFull, SpoolHasRoom
from postroad.model.work import Work
from postroad.net.clock import SystemClock
from postroad.spool.spool import EmbeddedSpool
from tests.unit.spool.building import Bench, content_of, delivered, envelope, lease_all, put, start_settle

SIZE = 12 << 20
CONTENT = bytes(range(256)) * 100


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A disk with little room at `folder`; False: only files are limited, which says EFBIG instead of ENOSPC."""
    folder.mkdir()
    with ExitStack() as stack:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "postroad-test", str(folder)],
            capture_output=True,
            check=False,
        )
        if mounted.returncode == 0:
            stack.callback(subprocess.run, ["umount", "-l", str(folder)], check=True)
        else:
            before = resource.getrlimit(resource.RLIMIT_FSIZE)
            handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE // 4, before[1]))
            stack.callback(resource.setrlimit, resource.RLIMIT_FSIZE, before)
            stack.callback(signal.signal, signal.SIGXFSZ, handler)
        yield mounted.returncode == 0


async def fill(bench: Bench) -> list[Work]:
    """Put messages until there is no room; the works of those that were taken."""
    spool = bench.spools[-1]
    works: list[Work] = []
    for number in range(10_000):
        try:
            works += await put(spool, envelope(number), CONTENT)
        except SpoolError:
            break
    return works


async def test_a_full_disk_costs_nothing_and_is_over_by_itself(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as is_disk:
        segment_size = 1 << 20 if is_disk else 1 << 30
        bench = Bench(tmp_path / "disk" / "spool", clock=SystemClock(), segment_size=segment_size)
        spool = await bench.open()
        works = await fill(bench)
        assert len(works) > 50
        assert spool.has_room() is not is_disk
        assert len(bench.kinds(SpoolFull if is_disk else SpoolFaulted)) == 1
        # Outcomes wait until they can be written, which the reserve allows; then their messages go and make room.
        settlements = [start_settle(spool, delivered(work)) for work in works[:-10]]
        if is_disk:
            # What the other files of this machine's user do when a disk is full: somebody makes room.
            async with asyncio.timeout(60):
                while not spool.has_room():
                    await asyncio.sleep(0.05)
                    await maintain(spool)
            assert bench.kinds(SpoolHasRoom)
            async with asyncio.timeout(60):
                await asyncio.gather(*settlements)
                works += await put(spool, envelope(20_000), CONTENT)
        await bench.crash(spool)
        gone = {one.stored.id for one, future in zip(works, settlements, strict=False) if future.done()}
        spool = await bench.open()
        found = await lease_all(spool)
        there = {work.stored.id for work in found}
        assert {work.stored.id for work in works[len(settlements) :]} <= there
        assert there <= {work.stored.id for work in works} - gone  # what was being settled may be either
        for work in found:
            assert await content_of(spool, work) == CONTENT
        assert not bench.kinds(SpoolDamaged)
        await spool.close()


async def maintain(spool: EmbeddedSpool) -> None:
    """Housekeeping may fail while the disk is full; it must not matter."""
    try:
        await spool.maintain()
    except SpoolError:
        return
