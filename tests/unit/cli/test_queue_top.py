"""The picture of `queue top`: rates, the busiest and the worst next hops, what is suspended."""

import io

from rich.console import Console

from postroad.cli.queue.top import View, drawn, head, ranked, worst
from postroad.desk.protocol import Activity, LaneNow
from postroad.model.suspension import NEXT_HOP, Suspension
from postroad.queue.times import NEVER

NOW = 1_700_000_000_000_000
BUSY = LaneNow("mx:busy.example", 10, 2, 5, delivered=30, deferred=2)
DOWN = LaneNow("mx:down.example", 0, 0, 0, NOW + 90_000_000, "connection refused\x1b[2J", "suspended")
IDLE = LaneNow("mx:idle.example", 1, 0, 5)
VIEW = View(
    Activity(2.0, 40, 30, 2, 0, 1234, 5 << 20),
    (IDLE, DOWN, BUSY),
    {"mx:down.example": 900, "mx:waiting.example": 300, "mx:busy.example": 20},
    (Suspension(NEXT_HOP, "a.example", NEVER, "root", NOW, "why"),),
)


def test_rates_are_per_second() -> None:
    assert head(VIEW) == ("20.0 in/s  15.0 delivered/s  1.0 deferred/s  0.0 failed/s   waiting: 1,234 messages, 5.0M")


def test_where_something_happens_comes_first_then_where_most_waits() -> None:
    names = [lane.name.removeprefix("mx:").removesuffix(".example") for lane in ranked(VIEW, 10)]
    assert names == ["busy", "down", "waiting", "idle"]
    assert [lane.name for lane in ranked(VIEW, 1)] == ["mx:busy.example"]
    assert [lane.name for lane in worst(VIEW, 5)] == ["mx:down.example"]


def test_the_picture() -> None:
    out = io.StringIO()
    Console(file=out, width=160).print(drawn(VIEW, 10, NOW))
    text = out.getvalue()
    assert "next-hop a.example suspended by root: why, until it is resumed" in text
    assert "BUSIEST NEXT HOPS" in text
    assert "900 wait, paused for 1m: connection refused\\x1b[2J" in text
    assert "\x1b[2J" not in text
    (row,) = [line for line in text.splitlines() if "mx:busy.example" in line]
    assert row.split()[:6] == ["mx:busy.example", "20", "2/5", "15.0", "1.0", "0.0"]
