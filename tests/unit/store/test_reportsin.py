"""Reports of others in their file: each once, bounded in number and octets, there after a restart."""

from pathlib import Path

import apsw
import pytest

from postroad.model.errors import SpoolError
from postroad.store.reportsin import OCTETS, ROWS, ReceivedReport, ReceivedReports


def report(name: str, at: int = 1, *, submitter: str = "them", domains: str = "ours.example") -> ReceivedReport:
    return ReceivedReport(submitter, name, at, "2026-11-26", domains, 2, 1, "them.example", '{"id":"x"}')


def fill(file: Path, count: int, octets: int) -> None:
    """More reports, at once: they came at 10, 11 and so on, and are said to have `octets` each."""
    db = apsw.Connection(str(file))
    with db:
        rows = ((f"filled-{at}", 9 + at, octets) for at in range(1, count + 1))
        db.executemany("INSERT INTO dmarc VALUES ('them', ?, ?, 'day', 'ours.example', 1, 0, '', ?, '{}')", rows)
    db.close()


def test_each_is_kept_once(tmp_path: Path) -> None:
    kept = ReceivedReports(tmp_path / "in.db", "dmarc")
    assert kept.all() == []
    one, other = report("1", 5), report("1", 6, domains="also.example ours.example")
    assert [kept.add(each) for each in (one, one, report("1", 9), other)] == [True, False, False, True]
    assert kept.add(report("1", 7, submitter="others"))
    assert ReceivedReports(tmp_path / "in.db", "dmarc").all()[1:] == [other, one]
    assert kept.all("also.example") == [other]
    assert [each.at for each in kept.all("ours.example", 6)] == [7, 6]
    assert (tmp_path / "in.db").stat().st_mode & 0o777 == 0o600


def test_each_kind_by_itself(tmp_path: Path) -> None:
    dmarc, tls = (ReceivedReports(tmp_path / "in.db", "dmarc"), ReceivedReports(tmp_path / "in.db", "tls"))
    assert dmarc.add(report("1"))
    assert tls.all() == []
    assert tls.add(report("1"))
    assert (len(dmarc.all()), len(tls.all())) == (1, 1)


@pytest.mark.parametrize(
    ("count", "octets", "left"),
    [(ROWS // 2, 2, ROWS // 2 + 2), (ROWS, 2, ROWS), (9, OCTETS // 10, 11), (100, OCTETS // 10, 11)],
)
def test_the_oldest_go(tmp_path: Path, count: int, octets: int, left: int) -> None:
    kept = ReceivedReports(tmp_path / "in.db", "dmarc")
    kept.add(report("first", 1_000_000))
    fill(tmp_path / "in.db", count, octets)
    assert kept.add(report("last", 1_000_001))
    found = kept.all()
    assert [each.id for each in found[:3]] == ["last", "first", f"filled-{count}"]
    assert len(found) == left


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "in.db").write_bytes(b"x" * 4096)
    kept = ReceivedReports(tmp_path / "in.db", "dmarc")
    with pytest.raises(SpoolError, match="cannot be kept"):
        kept.add(report("1"))
    with pytest.raises(SpoolError, match="cannot be read"):
        kept.all()
