"""What a metric is, what one process knows of it, and how several processes add up. Pure.

Invariant: counters and histograms of several processes are added; a gauge says itself whether its values are added
or the lowest stands for all. No label tells processes apart, so that an edge that is replaced begins no new series;
a counter that begins anew with its process is what Prometheus expects.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

from msgspec import Struct

Kind = Literal["counter", "gauge", "histogram"]
Joined = Literal["sum", "min"]

CELLS_LIMIT: Final = 200  # label values of one metric; what comes above counts as "other"
OTHER: Final = "other"


class Family(Struct, frozen=True):
    """One metric: `text` is its sentence, `bounds` a histogram's, `joined` what several processes make of a gauge."""

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    joined: Joined = "sum"


class Series(Struct, frozen=True):
    """One value of a metric: of a histogram `value` is the sum, `counts` are those of its buckets and of +Inf."""

    name: str
    labels: tuple[str, ...]
    value: float
    counts: tuple[int, ...] = ()


def merge(families: Iterable[Family], parts: Sequence[Sequence[Series]]) -> list[Series]:
    """The series of several processes as one."""
    lowest = {family.name for family in families if family.joined == "min"}
    out: dict[tuple[str, tuple[str, ...]], Series] = {}
    for series in (one for part in parts for one in part):
        key = series.name, series.labels
        known = out.get(key)
        out[key] = series if known is None else _join(known, series, is_lowest=series.name in lowest)
    return list(out.values())


def _join(one: Series, other: Series, *, is_lowest: bool) -> Series:
    if is_lowest:
        return min(one, other, key=lambda series: series.value)
    counts = tuple(map(sum, zip(one.counts, other.counts, strict=True)))
    return Series(one.name, one.labels, one.value + other.value, counts)
