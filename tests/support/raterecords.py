"""Samples of the records of what `[[rates]]` limit; see `records`.

Apart from the others for length alone.
"""

from postroad.model.records import CountsFound, CountsLost, RateReached, Record


def rate_samples(at: int) -> tuple[Record, ...]:
    """One of each, and of the words that differ."""
    return (
        RateReached(
            at=at,
            rate="login_hourly",
            limit="100/1h",
            counted="recipients",
            account="alice",
            action="defer",
            used=99,
            wanted=2,
            until=at + 60_000_000,
        ),
        RateReached(
            at=at,
            rate="all",
            limit="1000/day",
            counted="messages",
            account="",
            action="hold",
            used=1000,
            wanted=1,
            until=at + 60_000_000,
        ),
        CountsLost(at=at, server="redis://192.0.2.6:6379/0", reason="Connection refused"),
        CountsFound(at=at, server="redis://192.0.2.6:6379/0", seconds=61.5),
    )
