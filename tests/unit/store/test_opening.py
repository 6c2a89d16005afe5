"""A file that several processes open at once: each gets it, and one has made it."""

import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path

from postroad.store.opening import open_shared

SCHEMA = "CREATE TABLE made (pid INTEGER); INSERT INTO made VALUES (1); PRAGMA user_version = 7;"
FILES, PROCESSES = 40, 4


def opener(folder: Path, ready: Connection) -> None:
    """Open each of the files when told to."""
    while (number := ready.recv()) is not None:
        db, version = open_shared(folder / f"{number}.db", 60_000, SCHEMA)
        rows = list(db.execute("SELECT count(*) FROM made"))
        db.close()
        ready.send((version, rows))


def test_processes_that_come_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(PROCESSES)]
    children = [context.Process(target=opener, args=(tmp_path, theirs)) for _, theirs in pipes]
    for child in children:
        child.start()
    for number in range(FILES):
        for ours, _ in pipes:
            ours.send(number)
        found = [ours.recv() for ours, _ in pipes]
        assert sorted(version for version, _ in found) == [0] + [7] * (PROCESSES - 1)
        assert all(rows == [(1,)] for _, rows in found)
    for ours, _ in pipes:
        ours.send(None)
    for child in children:
        child.join(60)
        assert child.exitcode == 0
