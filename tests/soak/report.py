"""The soak in words. Pure: what was found in, text out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.soak.account import Sent, Taken, Verdict
from tests.soak.gauges import MIB, Sample, thirds

COLUMNS = 24


@dataclass
class Findings:
    """Everything that the report tells."""

    disk: str
    edges: int
    capacity: float
    rate: float
    seconds: float
    sent: Sent
    taken: Taken
    verdict: Verdict
    deaths: Mapping[str, int]
    sink_deaths: Mapping[str, int]
    reloads: Mapping[str, int]
    records: Counter[str]
    samples: Mapping[int, Sequence[Sample]]
    quiet: Sequence[str]
    faults: list[str] = field(default_factory=list)


def text_of(found: Findings) -> str:
    """The report."""
    sent, taken = found.sent, found.taken
    doubles = sum(len(arrivals) - 1 for arrivals in taken.again.values())
    accepted = sum(len(one.recipients) for one in sent.accepted.values())
    refused = Counter(" ".join(text.split()[:2]) for _, text in sent.refused.values())
    lines = [
        (
            f"edges = {found.edges}: {found.seconds:.0f} s at {found.rate:.0f} messages/s, "
            f"measured capacity {found.capacity:.0f}/s; "
            f"spool on {found.disk}"
        ),
        (
            f"accepted {len(sent.accepted)} messages, {accepted} recipients; refused {_counts(refused)}; "
            f"250 not seen {_counts(sent.unknown)}"
        ),
        (
            f"arrived {len(taken.first)} recipients, {len(taken.reports)} reports; "
            f"came again {doubles} ({_counts(found.verdict.reasons)}), reports {found.verdict.extra_reports}"
        ),
        f"relay {_counts(found.deaths)}; next hops killed {_counts(found.sink_deaths)}",
        f"reloads {_counts(found.reloads)}",
        f"records {_counts(found.records)}",
        *_memory(found.samples),
        *found.quiet,
    ]
    lines += [f"FAULT  {fault}" for fault in found.faults]
    return "\n".join([*lines, "soak: faults found" if found.faults else "soak: every promise held"])


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


def _memory(samples: Mapping[int, Sequence[Sample]]) -> list[str]:
    """Lives that were long enough to say something, the longest first."""
    lives = sorted((list(life) for life in samples.values() if len(life) >= 12), key=len, reverse=True)[:6]
    lines = []
    for life in lives:
        first, second, third = (value / MIB for value in thirds(life))
        step = max(len(life) // COLUMNS, 1)
        curve = " ".join(f"{sample.memory / MIB:.0f}" for sample in life[::step])
        lines.append(
            f"process {life[0].pid}, {life[-1].at - life[0].at:.0f} s: MiB in thirds {first:.1f} {second:.1f} "
            f"{third:.1f}; files at most {max(sample.files for sample in life)}; curve {curve}"
        )
    return lines
