"""The reference page of the metrics, from the families themselves. Pure.

A metric that is not in `families()` is on no page, neither here nor in /metrics.
"""

from typing import Final

from postroad.observe.metrics.exposition import number
from postroad.observe.metrics.meter import families
from postroad.observe.metrics.series import CELLS_LIMIT, Family

_INTRO: Final = (
    "With a section `[desk]` the server answers `GET /metrics` in Prometheus' text format (version 0.0.4); "
    "[Monitor with Prometheus](../howto/monitor.md) tells how to use it. Counters begin at zero when the server "
    "starts. Every [record](records.md) is counted. Labels have few values; above "
    f"{CELLS_LIMIT} of them a metric counts under `other`. Where several processes serve, what they counted is added; "
    "the last column tells what becomes of gauges."
)


def metrics_text() -> str:
    """The page without its first note."""
    rows = ["| Metric | Type | Labels | Meaning | Several processes |", "|---|---|---|---|---|"]
    rows += [_row(family) for family in families()]
    bounds = ["## Buckets", "Upper bounds of the histograms; `+Inf` follows each."]
    lists = [f"- `{family.name}`: {', '.join(map(number, family.bounds))}" for family in families() if family.bounds]
    return "\n\n".join(("# Metrics", _INTRO, "\n".join(rows), *bounds, "\n".join(lists))) + "\n"


def _row(family: Family) -> str:
    labels = ", ".join(f"`{label}`" for label in family.labels)
    joined = "added" if family.joined == "sum" else "the lowest"
    text = family.text.replace("|", "\\|")
    return f"| `{family.name}` | {family.kind} | {labels} | {text} | {joined} |"
