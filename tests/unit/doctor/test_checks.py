"""What the doctor sees of DNS, names, the machine and next hops."""

import asyncio
import os
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from postroad.doctor.around import Around
from postroad.doctor.directories import check_directories
from postroad.doctor.examine import examine
from postroad.doctor.finding import Finding, Level, ok
from postroad.doctor.hops import check_hops
from postroad.doctor.machine import _kind_of, check_machine
from postroad.doctor.names import check_names, check_reverse
from postroad.doctor.resolver import check_resolver
from postroad.model.dns import MxRecord
from tests.support.clock import ManualClock
from tests.support.doctoring import Records, around_of, config_of, dns, look
from tests.support.peer import Peer
from tests.support.ports import free_port
from tests.support.slapd import READER, READER_PASSWORD, Slapd

ROOT = {("org", "NS"): ("a0.org.example",)}


def test_a_resolver_that_is_well() -> None:
    found = look(check_resolver, lookup=dns(ROOT, authentic=True))
    assert [one.level for one in found.values()] == [Level.OK] * 3


def test_a_resolver_that_makes_up_names() -> None:
    found = look(check_resolver, lookup=dns(ROOT, invented="192.0.2.80"), nameservers=("192.0.2.53:53",))
    assert found["resolver: names that do not exist"].level is Level.PROBLEM
    assert "192.0.2.80" in found["resolver: names that do not exist"].what
    assert found["resolver: DNSSEC"].level is Level.WARNING
    assert "run a validating resolver on this host" in found["resolver: DNSSEC"].mend


def test_a_resolver_that_is_dead() -> None:
    found = look(check_resolver)
    assert list(found) == ["resolver"]
    assert (found["resolver"].level, "unbound" in found["resolver"].mend) == (Level.PROBLEM, True)


DIRECTORY = """
[directories.ad]
servers = [{servers}]
ca = "{ca}"
bind_dn = "{who}"
bind_password = "{password}"
connect_timeout = "30s"
timeout = "30s"
"""


def test_directories() -> None:
    with Slapd() as slapd:

        def seen(*servers: str, password: str = READER_PASSWORD) -> dict[str, Finding]:
            names = ", ".join(f'"{server}"' for server in servers)
            text = DIRECTORY.format(servers=names, ca=slapd.ca, who=READER, password=password)
            return look(check_directories, config=config_of(text))

        nobody = f"ldap://127.0.0.1:{free_port()}"
        wrong = f"ldaps://127.0.0.2:{slapd.tls_port}"
        assert seen(slapd.url, slapd.tls_url)["directories: ad"].level is Level.OK
        found = seen(slapd.url, nobody)[f"directories: ad: {nobody}"]
        assert (found.level, found.what) == (Level.WARNING, "connection refused")
        found = seen(wrong)[f"directories: ad: {wrong}"]
        assert (found.level, "not valid for '127.0.0.2'" in found.what) == (Level.PROBLEM, True)
        found = seen(slapd.url, password="wrong")[f"directories: ad: {slapd.url}"]
        assert "invalid credentials" in found.what
    assert look(check_directories) == {}


SOURCE = """
[sources.out]
address = "127.0.0.9"
ehlo = "out.example.com"
[access]
relay_domains = ["example.com", "*.example.net", "example.org"]
"""
OUT = "9.113.0.203.in-addr.arpa"


@pytest.mark.parametrize(
    ("records", "level", "words"),
    [
        ({(OUT, "PTR"): ("out.example.com",), ("out.example.com", "A"): ("203.0.113.9",)}, Level.OK, "leads back"),
        ({}, Level.PROBLEM, "there is none"),
        ({(OUT, "PTR"): ("other.example",)}, Level.PROBLEM, "does not lead back"),
        (
            {(OUT, "PTR"): ("other.example",), ("other.example", "A"): ("203.0.113.9",)},
            Level.WARNING,
            "we say out.example.com",
        ),
    ],
)
def test_reverse_dns(records: Records, level: Level, words: str) -> None:
    async def check(around: Around) -> AsyncIterator[Finding]:
        yield await check_reverse(around, "203.0.113.9", "out.example.com")

    found = look(check, lookup=dns(records))["names: reverse DNS of 203.0.113.9"]
    assert found.level is level
    assert words in found.what


def test_names_and_exchanges() -> None:
    records: Records = {
        ("relay.example.com", "A"): ("192.0.2.1",),
        ("example.com", "MX"): (MxRecord(10, "relay.example.com"),),
    }
    found = look(check_names, config=config_of(SOURCE), lookup=dns(records))
    assert found["names: hostname"].level is Level.OK
    assert found["names: mail for example.com"].what == "MX relay.example.com"
    assert found["names: mail for example.org"].level is Level.WARNING
    assert found["names: reverse DNS"].level is Level.UNKNOWN  # a loopback address is nobody's
    found = look(check_names, lookup=dns({}))
    assert found["names: hostname"].level is Level.WARNING
    found = look(check_names, config=config_of(base='hostname = "relay"\n[listeners.mx]\nbind = ["127.0.0.1:0"]\n'))
    assert found["names: hostname"].level is Level.PROBLEM


def machine(folder: Path, more: str = "", clock: ManualClock | None = None) -> dict[str, Finding]:
    base = f'data_dir = "{folder}"\n' + 'hostname = "relay.example.com"\n[listeners.mx]\nbind = ["127.0.0.1:0"]\n'
    return look(check_machine, config=config_of(more, base=base), clock=clock)


def test_the_machine(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    found = machine(folder)
    assert found["rights: data_dir"].level is Level.OK
    assert found["clock: against the spool"].level is Level.OK
    assert found["disk: syncs"].level in (Level.OK, Level.WARNING)  # as the disk is
    assert not list(folder.iterdir())
    folder.chmod(0o755)
    found = machine(folder, '[spool]\nfree_space = "4000GiB"\n')
    assert found["disk"].level is Level.PROBLEM
    assert found["rights: data_dir"].mend == f"chmod 0700 {folder}"


def test_files_from_the_future(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    os.utime(tmp_path / "spool", (4_000_000_000, 4_000_000_000))
    found = machine(tmp_path)["clock: against the spool"]
    assert found.level is Level.PROBLEM
    assert "2096-10-02 07:06:40 UTC" in found.what


def test_the_file_system_is_that_of_the_nearest_mount() -> None:
    assert _kind_of(Path("/proc/self")) == "proc"
    assert _kind_of(Path("/sys")) == "sysfs"


def test_next_hops() -> None:
    async def run() -> None:
        async with Peer(extensions=["STARTTLS"]) as good, Peer(script={"connect": ["554 no"]}) as bad, Peer() as plain:
            hops = ", ".join(f'"smtp://127.0.0.1:{port}"' for port in (good.port, bad.port, plain.port, 9))
            more = f'[[routes]]\nrecipients = ["*"]\nnext_hops = [{hops}, "smtp://gone.example", "mx"]\n'
            found = [one async for one in check_hops(around_of(config_of(more), dns({})))]
            assert [one.level for one in found] == [
                Level.OK,
                Level.PROBLEM,
                Level.WARNING,
                Level.PROBLEM,
                Level.PROBLEM,
            ]
            assert found[3].what == "connection refused"
            assert found[4].what == "gone.example has no address"

    asyncio.run(run())


async def breaks(_around: Around) -> AsyncIterator[Finding]:
    yield ok("breaks", "so far")
    raise RuntimeError("boom")


async def goes_on(_around: Around) -> AsyncIterator[Finding]:
    yield ok("goes on", "well")


def test_a_check_that_breaks_stops_no_other() -> None:
    found = look(partial(examine, checks={"it": breaks, "another": goes_on}))
    assert [(name, one.level) for name, one in found.items()] == [
        ("breaks", Level.OK),
        ("it", Level.UNKNOWN),
        ("goes on", Level.OK),
    ]
    assert found["it"].what.endswith("RuntimeError('boom')")
