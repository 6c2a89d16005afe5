"""Which lanes are stopped, and until when."""

from postroad.model.suspension import NEXT_HOP, ROUTE, SITE, Suspension
from postroad.queue.suspensions import Suspensions
from postroad.queue.times import NEVER


def one(kind: str, name: str, until: int = NEVER) -> Suspension:
    return Suspension(kind, name, until, "root", 0)


def name_of(suspensions: Suspensions, lane: str, now: int = 5) -> str:
    found = suspensions.of(lane, now)
    return "" if found is None else found.name


def test_nothing_is_stopped_at_first() -> None:
    suspensions = Suspensions()
    assert suspensions.of("mx:a.example", 5) is None
    assert suspensions.closed({"x"}, 5) == {"x"}
    assert suspensions.next_end() == NEVER


def test_next_hops_are_closed_before_they_were_seen() -> None:
    suspensions = Suspensions([one(NEXT_HOP, "*.example")])
    closed = suspensions.closed({"x"}, 5)
    assert set(closed) == {"x"}
    assert "mx:a.example" in closed
    assert "mx:a.test" not in closed
    assert name_of(suspensions, "mx:a.example") == "*.example"
    assert name_of(suspensions, "mx:a.test") == ""


def test_stopping_very_many_lanes_costs_the_same_for_each() -> None:
    suspensions = Suspensions([one(NEXT_HOP, "*.example"), one(SITE, "big")])
    for number in range(150_000):
        assert suspensions.of(f"mx:a{number}.example", 5) is not None
        assert suspensions.of(f"mx:a{number}.test", 5) is None
        assert suspensions.note_site(f"mx:a{number}.test", "big")
    assert len(suspensions.closed(set(), 5)) == 150_000
    assert len(suspensions.listed()[1].lanes) == 150_000


def test_the_longest_of_several_counts_until_each_has_ended() -> None:
    suspensions = Suspensions([one(NEXT_HOP, "a.example", 10), one(NEXT_HOP, "*", 20)])
    assert [name_of(suspensions, "mx:a.example", now) for now in (9, 10, 19, 20)] == ["*", "*", "*", ""]
    assert suspensions.next_end() == 10
    assert [ended.name for ended in suspensions.expire(10)] == ["a.example"]
    assert set(suspensions.closed(set(), 9)) == set()
    assert "mx:a.example" in suspensions.closed(set(), 9)
    assert suspensions.closed(set(), 21) == set()


def test_a_shorter_one_stays_when_the_longer_one_is_resumed() -> None:
    suspensions = Suspensions([one(NEXT_HOP, "a.example", 10), one(NEXT_HOP, "*", 20)])
    assert [ended.name for ended in suspensions.remove(NEXT_HOP, "a*")] == ["a.example"]
    assert name_of(suspensions, "mx:a.example") == "*"
    assert suspensions.remove(SITE, "*") == []
    assert len(suspensions.remove(NEXT_HOP, "*")) == 1
    assert name_of(suspensions, "mx:a.example") == ""


def test_the_lanes_of_a_site_and_a_route_are_learned_and_kept() -> None:
    suspensions = Suspensions()
    suspensions.note_site("mx:a.example", "big")
    suspensions.add(one(SITE, "big"))
    suspensions.add(one(ROUTE, "2"))
    assert suspensions.has_routes
    assert name_of(suspensions, "mx:a.example") == "big"
    assert name_of(suspensions, "mx:b.example") == ""
    assert suspensions.note_site("mx:b.example", "big")
    assert not suspensions.note_site("mx:b.example", "big")
    suspensions.note_route("mx:c.example", 'route 2 (recipients = ["*"])')
    suspensions.note_route("mx:d.example", 'route 20 (recipients = ["*"])')
    again = Suspensions(suspensions.listed())
    for known in (suspensions, again):
        assert [name_of(known, f"mx:{x}.example") for x in "abcd"] == ["big", "big", "2", ""]
        assert set(known.closed(set(), 5)) == {"mx:a.example", "mx:b.example", "mx:c.example"}
