"""Suspensions outlive the process, in a file that only its owner reads."""

from pathlib import Path

import pytest

from postroad.model.errors import SpoolError
from postroad.model.suspension import NEXT_HOP, SITE, Suspension
from postroad.queue.times import NEVER
from postroad.store.suspensions import load, save

TWO = [
    Suspension(NEXT_HOP, "*.example.net", NEVER, "root", 1_700_000_000_000_000, "why"),
    Suspension(SITE, "big", 1_700_000_600_000_000, "mail", 1_700_000_000_000_000, "", ("mx:a.example", "mx:b.example")),
]


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "suspensions.json"
    assert load(path) == []
    save(path, TWO)
    assert load(path) == TWO
    assert path.stat().st_mode & 0o777 == 0o600
    save(path, [])
    assert load(path) == []
    assert [one.name for one in tmp_path.iterdir()] == ["suspensions.json"]


@pytest.mark.parametrize("octets", [b"", b"[", b'[{"kind": 1}]', b"{}"])
def test_a_broken_file_is_told(tmp_path: Path, octets: bytes) -> None:
    path = tmp_path / "suspensions.json"
    path.write_bytes(octets)
    with pytest.raises(SpoolError, match="cannot be read"):
        load(path)


def test_a_disk_that_refuses_is_told(tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match="cannot be written"):
        save(tmp_path / "missing" / "suspensions.json", TWO)
