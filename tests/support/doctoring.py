"""What checks of the doctor are given in tests: a small configuration, DNS by a table, whole examinations."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

from postroad.config.load import load_config
from postroad.config.schema import Config
from postroad.doctor.around import Around
from postroad.doctor.finding import Finding
from postroad.doctor.talk import Talk
from postroad.model.dns import Answer, DnsStatus, Lookup, MxRecord
from postroad.net.clock import Clock, SystemClock
from postroad.net.dns.validation import Proof, conclusion, prove

Records = Mapping[tuple[str, str], tuple[str | MxRecord, ...]]

BASE = 'hostname = "relay.example.com"\n[listeners.mx]\nbind = ["127.0.0.1:0"]\n'


def config_of(more: str = "", *, base: str = BASE) -> Config:
    """A configuration, read from a file as any other."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "postroad.toml"
        file.write_text(f"{base}{more}")
        return load_config(file)


async def no_dns(name: str, kind: str) -> Answer:
    """Nobody answers."""
    return Answer(DnsStatus.TIMED_OUT)


async def no_proof() -> Proof:
    """Nothing could be found out."""
    return Proof(None, "nobody was asked")


def around_of(
    config: Config, lookup: Lookup = no_dns, clock: Clock | None = None, nameservers: tuple[str, ...] = ()
) -> Around:
    """What a check is given that begins no session."""

    async def prove_each() -> Proof:
        return conclusion([await prove(server, lookup, config.resolver) for server in nameservers])

    return Around(config, lookup, clock or SystemClock(), nameservers, _nobody, prove_each)


def dns(records: Records, *, authentic: bool = False, invented: str = "") -> Lookup:
    """DNS that knows `records`; names it does not know have the address `invented`, or do not exist."""

    async def look_up(name: str, kind: str) -> Answer:
        found = records.get((name, kind))
        if found is None and invented and kind == "A":
            found = (invented,)
        return Answer(DnsStatus.FOUND, found, 60, authentic) if found else Answer(DnsStatus.NO_NAME)

    return look_up


def look(
    check: Callable[[Around], AsyncIterator[Finding]],
    *,
    config: Config | None = None,
    lookup: Lookup = no_dns,
    clock: Clock | None = None,
    nameservers: tuple[str, ...] = ("127.0.0.1:53",),
) -> dict[str, Finding]:
    """What `check` finds, by what it is about."""

    async def run() -> dict[str, Finding]:
        around = around_of(config or config_of(), lookup, clock, nameservers)
        return {finding.about: finding async for finding in check(around)}

    return asyncio.run(run())


def _nobody(_listener: str, _ip: str) -> Talk:
    raise AssertionError("no session is begun here")
