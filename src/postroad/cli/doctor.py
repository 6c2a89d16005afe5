"""`postroad doctor`: looks over the server, its host and its surroundings, and says how to mend what is wrong.

Exit codes: 0 when there is no problem, 1 when there is one (with --strict also for a warning), 78 when the
configuration is broken. It may run beside the server, and before its first start.
"""

import asyncio
import sys
from functools import partial
from types import MappingProxyType
from typing import Annotated, Final

import msgspec
import typer

from postroad.cli.exits import OK, USAGE, complain, guarded
from postroad.cli.layout import printable
from postroad.cli.options import ConfigFile, Json
from postroad.config.load import find_config, load_config
from postroad.config.schema import Config
from postroad.doctor.around import Around
from postroad.doctor.examine import CHECKS, examine
from postroad.doctor.finding import Finding, Level, count
from postroad.doctor.talk import MemoryTalk, Talk
from postroad.house.stranger import Strangers
from postroad.net.clock import SystemClock
from postroad.net.dns.resolver import Resolver
from postroad.net.dns.system import system_nameservers
from postroad.net.dns.validation import prove_all

FOUND: Final = 1  # there is a problem
_MARKS: Final = MappingProxyType(
    {Level.OK: "ok", Level.UNKNOWN: "?", Level.WARNING: "WARNING", Level.PROBLEM: "PROBLEM"}
)

Only = Annotated[
    list[str] | None,
    typer.Argument(metavar="[CHECK]...", help=f"Only these checks: {', '.join(CHECKS)}.", show_default=False),
]
Strict = Annotated[bool, typer.Option("--strict", help="Leave with 1 for warnings too.")]
All = Annotated[bool, typer.Option("--all", "-a", help="Print what is well too.")]


@guarded
def doctor(
    only: Only = None, config: ConfigFile = None, as_json: Json = False, strict: Strict = False, everything: All = False
) -> int:
    """Look the server over: open relay, listeners, DNS, reverse DNS, clock, disk, next hops.

    Example: postroad doctor -c /etc/postroad/postroad.toml
    """
    wrong = [name for name in only or () if name not in CHECKS]
    if wrong:
        complain(f"there is no check {', '.join(wrong)}; there are {', '.join(CHECKS)}")
        return USAGE
    loaded = load_config(find_config(config))
    findings = asyncio.run(_examine(loaded, frozenset(only or ()), as_json=as_json, everything=everything))
    problems, warnings = count(findings, Level.PROBLEM), count(findings, Level.WARNING)
    if not as_json:
        well = count(findings, Level.OK)
        print(f"{problems} problems, {warnings} warnings, {count(findings, Level.UNKNOWN)} unknown, {well} well")
    return FOUND if problems or (strict and warnings) else OK


async def _examine(config: Config, only: frozenset[str], *, as_json: bool, everything: bool) -> list[Finding]:
    clock = SystemClock()
    resolver = Resolver(config.resolver, clock)
    servers = config.resolver.nameservers or tuple(f"{host}:{port}" for host, port in system_nameservers())
    strangers = Strangers(config, clock, asyncio.get_running_loop().call_soon)

    def stranger(listener: str, ip: str) -> Talk:
        return MemoryTalk(strangers.terms_of(listener), ip)

    around = Around(config, resolver, clock, servers, stranger, partial(prove_all, config.resolver, clock))
    findings = []
    try:
        async for finding in examine(around, only):
            findings.append(finding)
            if as_json:
                print(msgspec.json.encode(finding).decode(), flush=True)
            elif everything or finding.level is not Level.OK:
                _print(finding)
    finally:
        await strangers.close()
        resolver.close()
    return findings


def _print(finding: Finding) -> None:
    print(f"{_MARKS[finding.level]:8} {finding.about}: {printable(finding.what)}")
    if finding.mend:
        print(f"{'':8}   -> {finding.mend}", flush=True)
    sys.stdout.flush()
