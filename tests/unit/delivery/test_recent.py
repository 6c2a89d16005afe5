"""The memory of targets: forgets with time, bounded in number."""

from postroad.delivery.recent import LIMIT, Recent
from postroad.model.route import SMTP, Target


def target(number: int) -> Target:
    return Target(SMTP, f"mx{number}.example.net", "192.0.2.1", 25)


def test_notes_are_forgotten() -> None:
    recent = Recent(30.0)
    assert not recent
    recent.note(target(1), 100.0)
    assert recent
    assert recent.has(target(1), 129.9)
    assert not recent.has(target(2), 100.0)
    assert not recent.has(target(1), 130.0)
    assert not recent


def test_dropped() -> None:
    recent = Recent(30.0)
    recent.note(target(1), 100.0)
    recent.drop(target(1))
    recent.drop(target(1))
    assert not recent.has(target(1), 100.0)


def test_the_oldest_goes_when_there_are_too_many() -> None:
    recent = Recent(30.0)
    for number in range(LIMIT):
        recent.note(target(number), 100.0)
    recent.note(target(0), 101.0)
    recent.note(target(LIMIT), 101.0)
    assert recent.has(target(0), 101.0)
    assert not recent.has(target(1), 101.0)
    assert recent.has(target(2), 101.0)
