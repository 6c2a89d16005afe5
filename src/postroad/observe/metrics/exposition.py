"""Series in the text format of Prometheus, version 0.0.4. Pure.

Invariant: every family is named with its sentence and type, also when nothing was counted yet; one without labels
has a value from the start, so that a rate over it is known at its first increase.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from postroad.observe.metrics.series import Family, Series

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_IN_TEXT: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})
_IN_LABEL: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def render(families: Iterable[Family], series: Iterable[Series]) -> bytes:
    """The page: families in their order, each with its series in the order of their labels."""
    found: dict[str, list[Series]] = {}
    for one in series:
        found.setdefault(one.name, []).append(one)
    lines: list[str] = []
    for family in families:
        lines += (f"# HELP {family.name} {family.text.translate(_IN_TEXT)}", f"# TYPE {family.name} {family.kind}")
        for one in sorted(found.get(family.name, ()), key=lambda one: one.labels):
            lines += _histogram(family, one) if family.bounds else _plain(family, one)
    return ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")


def _plain(family: Family, one: Series) -> Iterator[str]:
    yield f"{family.name}{_labels(family.labels, one.labels)} {number(one.value)}"


def _histogram(family: Family, one: Series) -> Iterator[str]:
    total = 0
    for bound, count in zip((*family.bounds, float("inf")), one.counts, strict=True):
        total += count
        labels = _labels((*family.labels, "le"), (*one.labels, number(bound)))
        yield f"{family.name}_bucket{labels} {total}"
    labels = _labels(family.labels, one.labels)
    yield f"{family.name}_sum{labels} {number(one.value)}"
    yield f"{family.name}_count{labels} {total}"


def _labels(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    pairs = ",".join(f'{name}="{value.translate(_IN_LABEL)}"' for name, value in zip(names, values, strict=True))
    return f"{{{pairs}}}" if pairs else ""


def number(value: float) -> str:
    """`value` as Prometheus writes it."""
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if value == int(value) else repr(float(value))
