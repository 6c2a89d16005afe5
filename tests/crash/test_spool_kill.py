"""kill -9 at every step and at random moments: nothing acknowledged is lost, nothing final comes back.

A child fills and empties a spool and writes down what it was promised (spool_child.py). After its death the spool is
opened here and compared with the promises; then a second life goes on in the same folder, and the index is
thrown away. 40 lives by default, 600 with POSTROAD_LONG=1.
"""

import os
import random
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from postroad.model.records import SpoolDamaged
from postroad.spool.tools import verify
from tests.unit.spool.building import Bench, content_of, lease_all

ROOT = Path(__file__).parents[2]
CHILD = Path(__file__).with_name("spool_child.py")
LONG = bool(os.environ.get("POSTROAD_LONG"))
STEPS = 400 if LONG else 24  # lives that end at a chosen step
RANDOM = 200 if LONG else 16  # lives that end at a random moment
COUNT = 60  # messages in a life that ends at a step
SPREAD = 400  # a life of COUNT messages makes about as many calls


class Promises:
    """What the lives in one folder were told."""

    def __init__(self) -> None:
        self.put: dict[str, tuple[int, int]] = {}
        self.settling: set[tuple[str, int]] = set()
        self.settled: set[tuple[str, int]] = set()
        self.calls = 0

    def read(self, output: bytes) -> None:
        """Take in what a child wrote; its last line may be cut."""
        lines = output.split(b"\n")
        for line in lines[:-1]:
            word, *rest = line.decode().split()
            if word == "put":
                self.put[rest[0]] = (int(rest[1]), int(rest[2]))
            elif word == "calls":
                self.calls = int(rest[0])
            else:
                getattr(self, word).add((rest[0], int(rest[1])))

    def check(self, found: dict[tuple[str, int], int]) -> None:
        """Compare with what is in the spool: recipients and the CRC of their content."""
        must = {(one, index) for one, (_, count) in self.put.items() for index in range(count)} - self.settling
        assert must <= found.keys(), f"lost: {sorted(must - found.keys())}"
        assert not self.settled & found.keys(), f"came back: {sorted(self.settled & found.keys())}"
        for (one, _), crc in found.items():
            if one in self.put:
                assert crc == self.put[one][0]


def live(folder: Path, first: int, count: int, kill_at: int, seconds: float = 60.0) -> bytes:
    """The output of one life, ended by itself or after `seconds`."""
    command = [sys.executable, str(CHILD), str(folder), str(first), str(count), str(kill_at)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as child:
        try:
            output, _ = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            output, _ = child.communicate()
    return output


async def look(bench: Bench) -> dict[tuple[str, int], int]:
    """All recipients in the spool and the CRC of their content; leased twice is an error."""
    spool = await bench.open()
    found: dict[tuple[str, int], int] = {}
    for work in await lease_all(spool):
        key = (work.stored.id, work.index)
        assert key not in found
        found[key] = zlib.crc32(await content_of(spool, work))
    await bench.crash(spool)
    return found


async def judge(folder: Path, promises: Promises) -> None:
    """Nothing promised is missing, with the index as it is and without."""
    bench = Bench(folder, segment_size=1 << 16, inline_size=4096)
    found = await look(bench)
    promises.check(found)
    for path in folder.glob("index.db*"):
        path.unlink()
    assert await look(bench) == found
    assert not bench.kinds(SpoolDamaged)
    assert verify(folder).problems == []


@pytest.mark.timeout(3600 if LONG else 300)
async def test_killed_at_every_step(tmp_path: Path) -> None:
    whole = Promises()
    whole.read(live(tmp_path / "whole", 1, COUNT, 10**9))
    assert whole.calls > 100
    dice = random.Random(STEPS)
    last = whole.calls if LONG else min(whole.calls, SPREAD)
    for life in range(STEPS):
        step = 1 + life * last // STEPS
        folder = tmp_path / f"step{life}"
        promises = Promises()
        promises.read(live(folder, 1, COUNT, step if life % 2 else -step))
        await judge(folder, promises)
        if life % 4 == 0:  # a second life, killed as well, maybe while it recovers
            promises.read(live(folder, 1000, COUNT, dice.randint(1, last)))
            await judge(folder, promises)


@pytest.mark.timeout(3600 if LONG else 300)
async def test_killed_at_random_moments(tmp_path: Path) -> None:
    dice = random.Random(RANDOM)
    promises = Promises()
    folder = tmp_path / "spool"
    for life in range(RANDOM):
        if life % 8 == 0:
            folder, promises = tmp_path / f"spool{life}", Promises()
        promises.read(live(folder, 1 + life * 100_000, 90_000, 0, 0.4 + dice.random()))
        await judge(folder, promises)
