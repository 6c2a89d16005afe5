"""Command line of the bench: `python -m tests.bench [growth | spread | loris | mailauth | logins | bans] [options]`.

Exit status 1 when a sink did not count exactly what was sent or a measurement failed; a missed target is printed,
and is no failure, because machines differ and are shared.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from json import dumps
from pathlib import Path

from tests.bench import report
from tests.bench.bans import bans
from tests.bench.cell import Result, measure
from tests.bench.growth import grow
from tests.bench.logins import logins
from tests.bench.loris import loris
from tests.bench.machine import facts
from tests.bench.mailauth import mailauth
from tests.bench.relays import EDGES, RELAYS, compiled
from tests.bench.scenarios import KIB, SCENARIOS, Scenario
from tests.bench.spread import spread

WORKS = ("run", "growth", "spread", "loris", "mailauth", "logins", "bans")
ALONE = ("postfix", "postroad")
EXAMPLES = """\
examples:
  python -m tests.bench                                       everything, three runs, medians
  python -m tests.bench --only single --only latency --runs 1
  python -m tests.bench --relay postfix --json postfix.json
  python -m tests.bench --relay postroad --only reused --runs 1 --py-spy stacks.txt
  python -m tests.bench growth --messages 1000000
  python -m tests.bench spread --messages 20000
  python -m tests.bench spread --messages 20000 --answer-after 1
  python -m tests.bench mailauth                              signatures beside the bare calls
  python -m tests.bench logins --seconds 10                   log-ins a minute
  python -m tests.bench bans                                  look-ups in a table of a million
  python -m tests.bench loris --only single --only reused --sessions 5000
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments ask for; the exit status."""
    options = _parser().parse_args(arguments)
    if not options.interpreted and options.what not in ("mailauth", "bans"):
        os.environ["PYTHONPATH"] = compiled()  # for every Postroad that is started
    works = (_run, _growth, _spread, _loris, mailauth, logins, bans)
    return works[WORKS.index(options.what)](options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measure Postroad beside a well-tuned Postfix.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", nargs="?", choices=WORKS, default="run")
    parser.add_argument("--only", action="append", choices=tuple(SCENARIOS), help="scenario; may be repeated")
    parser.add_argument("--relay", action="append", choices=RELAYS, help="may be repeated; postroad-N has N edges")
    parser.add_argument("--runs", type=int, default=3, help="runs to take the median of (default 3)")
    parser.add_argument(
        "--messages", type=int, help="messages a measurement (growth: 1,000,000; spread: 20,000 destinations)"
    )
    parser.add_argument(
        "--answer-after", type=int, default=0, metavar="SECONDS", help="spread: what hosts take to answer DATA"
    )
    parser.add_argument("--size", type=int, default=4 * KIB, help="octets a message of growth (default 4096)")
    parser.add_argument("--sessions", type=int, default=5000, help="slow sessions of loris (default 5000)")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each row of logins takes (default 5)")
    parser.add_argument("--dir", type=Path, default=Path("/var/tmp"), help="where queues are made (default /var/tmp)")
    parser.add_argument("--interpreted", action="store_true", help="measure Postroad as it is before `make compile`")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write tables for the documentation")
    parser.add_argument("--py-spy", type=Path, metavar="FILE", help="write Postroad's collapsed stacks (needs py-spy)")
    return parser


def _run(options: argparse.Namespace) -> int:
    known = facts(options.dir)
    _say("\n".join(f"{name}: {value}" for name, value in known.items()))
    chosen = [SCENARIOS[name] for name in SCENARIOS if not options.only or name in options.only]
    if options.messages:
        chosen = [replace(scenario, messages=options.messages) for scenario in chosen]
    relays = list(options.relay or RELAYS)
    results: list[Result] = []
    failures = 0
    for number in range(options.runs):
        # Every other run in the other order: whoever comes first meets the quieter disk.
        order = relays if number % 2 == 0 else relays[::-1]
        for scenario in chosen:
            for relay in order:
                result = _cell(scenario, relay, options)
                if result is None:
                    failures += 1
                else:
                    results.append(result)
                    failures += result.delivered != result.expected
    middle = report.medians(results)
    said = report.verdicts(middle)
    print(report.table(middle))
    print(report.verdict_lines(said))
    print(report.several_lines(middle))
    if not options.only and not options.relay:
        mailauth(options)
        failures += logins(options) + bans(options)
    if options.json:
        options.json.write_text(report.as_json(known, results, middle))
    if options.markdown:
        options.markdown.write_text(report.markdown(known, middle, said))
    return 1 if failures else 0


def _cell(scenario: Scenario, relay: str, options: argparse.Namespace) -> Result | None:
    try:
        result = measure(scenario, relay, options.dir, options.py_spy if relay in EDGES else None)
    except (RuntimeError, OSError, TimeoutError) as error:
        _say(f"{scenario.name} {relay}: failed: {error}")
        return None
    _say(
        f"{scenario.name} {relay}: {result.rate:.0f}/s, {result.cpu_per_1000:.3f} CPU s/1,000, "
        f"{result.memory / report.MIB:.0f} MiB, {result.delivered} of {result.expected}"
        + (
            f", p50 {result.latency_p50 * 1000:.2f} p99 {result.latency_p99 * 1000:.2f} ms"
            if result.latency_p50
            else ""
        )
    )
    return result


def _growth(options: argparse.Namespace) -> int:
    known = facts(options.dir)
    _say("\n".join(f"{name}: {value}" for name, value in known.items()))
    relays = list(options.relay or ["postroad"])
    grown = [grow(relay, options.messages or 1_000_000, options.size, options.dir) for relay in relays]
    print("\n\n".join(report.growth_lines(growth) for growth in grown))
    if options.json:
        options.json.write_text(dumps({"facts": known, "growth": [asdict(one) for one in grown]}, indent=2) + "\n")
    return 0 if all(one.delivered == one.messages for one in grown) else 1


def _spread(options: argparse.Namespace) -> int:
    known = facts(options.dir)
    _say("\n".join(f"{name}: {value}" for name, value in known.items()))
    count, after = options.messages or 20_000, options.answer_after
    found = [spread(relay, count, options.dir, answer_after=after) for relay in options.relay or ALONE]
    print(report.spread_lines(found))
    if options.json:
        options.json.write_text(dumps({"facts": known, "spread": [asdict(one) for one in found]}, indent=2) + "\n")
    return 0 if all(one.delivered == one.destinations for one in found) else 1


def _loris(options: argparse.Namespace) -> int:
    known = facts(options.dir)
    _say("\n".join(f"{name}: {value}" for name, value in known.items()))
    chosen = [SCENARIOS[name] for name in options.only or ("single",)]
    if options.messages:
        chosen = [replace(scenario, messages=options.messages) for scenario in chosen]
    found = [loris(scenario, options.sessions, options.runs, options.dir) for scenario in chosen]
    print("\n".join(report.loris_lines(one) for one in found))
    if options.json:
        options.json.write_text(dumps({"facts": known, "loris": [asdict(one) for one in found]}, indent=2) + "\n")
    return 0 if all(one.is_exact() for one in found) else 1


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
