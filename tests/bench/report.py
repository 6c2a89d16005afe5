"""Results in words: medians, ratios against the targets, a table for terminals, Markdown and JSON.

*Pure*: values in, text out.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import median

from tests.bench.cell import Result
from tests.bench.growth import Growth
from tests.bench.loris import Loris
from tests.bench.relays import EDGES
from tests.bench.scenarios import KIB, SCENARIOS, Scenario
from tests.bench.spread import Spread

MIB = KIB * KIB
HEAD = ("load", "relay", "messages/s", "accepted/s", "CPU s/1,000", "memory MiB", "p50 ms", "p99 ms", "sink's count")


@dataclass(frozen=True)
class Verdict:
    """One target: what was compared, in words, and whether it is met."""

    scenario: str
    text: str
    met: bool


def medians(results: Sequence[Result]) -> list[Result]:
    """One result a scenario and relay: the median of each number; counts are those of the worst run."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        groups.setdefault((result.scenario, result.relay), []).append(result)
    ordered = sorted(groups.values(), key=lambda group: (list(SCENARIOS).index(group[0].scenario), group[0].relay))
    return [_median(group) for group in ordered]


def verdicts(middle: Sequence[Result]) -> list[Verdict]:
    """Postroad's medians against Postfix's, for every scenario in which both ran."""
    found = {(result.scenario, result.relay): result for result in middle}
    said = []
    for name, scenario in SCENARIOS.items():
        ours, theirs = found.get((name, "postroad")), found.get((name, "postfix"))
        if ours is not None and theirs is not None:
            said += _verdicts(scenario, ours, theirs)
    return said


def _verdicts(scenario: Scenario, ours: Result, theirs: Result) -> list[Verdict]:
    if scenario.target:
        rate, cpu = ours.rate / theirs.rate, theirs.cpu_per_1000 / ours.cpu_per_1000
        wanted = 1 / scenario.target.cpu
        text = f"{rate:.2f}x messages/s (target {scenario.target.rate:g}x)"
        return [
            Verdict(scenario.name, text, rate >= scenario.target.rate),
            Verdict(scenario.name, f"1/{cpu:.1f} of the CPU (target 1/{wanted:.0f})", cpu >= wanted),
        ]
    pairs = ((50, ours.latency_p50, theirs.latency_p50), (99, ours.latency_p99, theirs.latency_p99))
    return [
        Verdict(scenario.name, f"p{percent} {mine * 1000:.2f} ms (Postfix {other * 1000:.2f} ms)", mine < other)
        for percent, mine, other in pairs
    ]


def several_lines(middle: Sequence[Result]) -> str:
    """Postroad as several processes against the one that does everything, and against Postfix."""
    found = {(result.scenario, result.relay): result for result in middle}
    lines = []
    for (scenario, relay), ours in found.items():
        if EDGES.get(relay, 0):
            ratios = [
                f"{ours.rate / other.rate:.2f}x the messages/s and "
                f"{ours.cpu_per_1000 / other.cpu_per_1000:.2f}x the CPU of {name}"
                for name in ("postroad", "postfix")
                if (other := found.get((scenario, name))) is not None
            ]
            lines += [f"{scenario}, edges = {EDGES[relay]}: {'; '.join(ratios)}"] if ratios else []
    return "\n".join(lines)


def table(middle: Sequence[Result]) -> str:
    """The medians in aligned columns."""
    rows = [HEAD, *(_row(result) for result in middle)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def verdict_lines(said: Sequence[Verdict]) -> str:
    """One line a target."""
    return "\n".join(f"{'met   ' if one.met else 'MISSED'}  {one.scenario}: {one.text}" for one in said)


def growth_lines(growth: Growth) -> str:
    """The growth measurement as lines of text."""
    lines = [
        f"{growth.relay}, {growth.messages} messages queued, next hop down",
        f"accepted/s: first batch {growth.first_rate:.0f}, last {growth.last_rate:.0f}, low {growth.slowest_rate:.0f}",
        f"memory: {growth.memory_filling / MIB:.0f} MiB filling, {growth.memory_draining / MIB:.0f} MiB draining",
        f"restart: port after {growth.restart:.1f} s, first delivery after {growth.first_delivery:.1f} s",
        f"after the first delivery {growth.drain_rate:.0f} messages/s",
    ]
    return "\n".join(lines + [f"{'met   ' if kept else 'MISSED'}  {text}" for text, kept in growth.promises()])


def spread_lines(found: Sequence[Spread]) -> str:
    """The measurements with many destinations as lines of text."""
    lines = [
        f"{one.relay}: {one.destinations} destinations, one connection each: {one.rate:.0f}/s, "
        f"{one.cpu_per_1000:.3f} CPU s/1,000, {one.memory_before / MIB:.0f} MiB before, "
        f"{one.memory / MIB:.0f} MiB at most, {one.delivered} delivered"
        for one in found
    ]
    rates = {one.relay: one.rate for one in found}
    if {"postroad", "postfix"} <= rates.keys():
        ratio = rates["postroad"] / rates["postfix"]
        lines.append(f"{'met   ' if ratio >= 3 else 'MISSED'}  {ratio:.2f}x destinations/s (target 3x)")
    return "\n".join(lines)


def loris_lines(found: Loris) -> str:
    """The measurement beside slow clients as lines of text."""
    lines = []
    for name, mails in (("alone", found.alone), (f"beside {found.sessions} slow sessions", found.beside)):
        lines.append(
            f"{found.scenario} {name}: {median(one.rate for one in mails):.0f}/s, "
            f"{max(one.memory for one in mails) / MIB:.0f} MiB at most, runs {[round(one.rate) for one in mails]}"
        )
    more = max(one.memory for one in found.beside) - max(one.memory for one in found.alone)
    lines.append(f"{more / KIB / found.sessions:.1f} KiB a slow session, {min(m.left for m in found.beside)} left open")
    met = "met   " if found.kept >= 0.8 else "MISSED"
    return "\n".join([*lines, f"{met}  {found.kept:.0%} of its rate kept (target 80 %)"])


def markdown(facts: Mapping[str, str], middle: Sequence[Result], said: Sequence[Verdict]) -> str:
    """The page section for docs/internals/performance.md."""
    lines = [f"- {name}: {value}" for name, value in facts.items()]
    lines += ["", f"| {' | '.join(HEAD)} |", f"|---|---|{'---:|' * (len(HEAD) - 2)}"]
    lines += [f"| {' | '.join(_row(result))} |" for result in middle]
    if said:
        lines += ["", "| load | Postroad against Postfix | target |", "|---|---|---|"]
        lines += [f"| {one.scenario} | {one.text} | {'met' if one.met else 'missed'} |" for one in said]
    return "\n".join(lines) + "\n"


def as_json(facts: Mapping[str, str], results: Sequence[Result], middle: Sequence[Result]) -> str:
    """Everything measured, every run included."""
    document = {
        "facts": dict(facts),
        "runs": [asdict(result) for result in results],
        "medians": [asdict(result) for result in middle],
        "targets": [asdict(verdict) for verdict in verdicts(middle)],
    }
    return json.dumps(document, indent=2) + "\n"


def _median(group: Sequence[Result]) -> Result:
    worst = max(group, key=lambda result: abs(result.delivered - result.expected))
    values = {field.name: getattr(worst, field.name) for field in fields(Result)}
    for name, value in values.items():
        if isinstance(value, float):
            values[name] = median(getattr(result, name) for result in group)
    values["memory"] = max(result.memory for result in group)
    return Result(**values)


def _row(result: Result) -> tuple[str, ...]:
    exact = "" if result.delivered == result.expected else f", not {result.expected}"
    timed = result.latency_p50 > 0
    return (
        SCENARIOS[result.scenario].title,
        result.relay,
        f"{result.rate:.0f}",
        f"{result.accept_rate:.0f}",
        f"{result.cpu_per_1000:.3f}",
        f"{result.memory / MIB:.0f}",
        f"{result.latency_p50 * 1000:.2f}" if timed else "-",
        f"{result.latency_p99 * 1000:.2f}" if timed else "-",
        f"{result.delivered}{exact}",
    )
