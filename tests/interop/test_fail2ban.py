"""Real fail2ban reads our bans from the log, whatever its format, and nothing else can be made to look like one."""

import subprocess
from pathlib import Path

import pytest

from postroad.model.envelope import Origin
from postroad.model.records import ClientChanged, NetworkBanned, ProxyRefused, Record
from postroad.observe.log import FormatName, make_format
from postroad.smtp import replies
from tests.meta.source import TOP
from tests.support.records import AT, SAMPLES, refused

PROGRAM = "/usr/bin/fail2ban-regex"
FILTER = TOP / "contrib/fail2ban/filter.d/postroad.conf"
JAIL = TOP / "contrib/fail2ban/jail.d/postroad.conf"
FORMATS: tuple[FormatName, ...] = ("json", "text", "postfix")


def networks(log: Path) -> list[str]:
    """What fail2ban would ban."""
    done = subprocess.run(
        [PROGRAM, "-o", "id", str(log), str(FILTER)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "ERROR" not in done.stderr, done.stderr
    return done.stdout.split()


def write(log: Path, form: FormatName, records: list[Record]) -> None:
    encode = make_format(form, hostname="relay.example.com", pid=4242)
    log.write_bytes(b"".join(map(encode, records)))


@pytest.mark.parametrize("form", FORMATS)
def test_bans_are_found(tmp_path: Path, form: FormatName) -> None:
    log = tmp_path / "log"
    more = [
        NetworkBanned(at=AT + 1, network=network, seconds=1200, kind="unknown_recipient", times=2)
        for network in ("198.51.100.0/24", "2001:db8:7::/48")
    ]
    write(log, form, [*SAMPLES, *more])
    assert networks(log) == ["192.0.2.7", "198.51.100.0/24", "2001:db8:7::/48"]


FORGED = (
    'x","record":"NetworkBanned","network":"203.0.113.66/32","seconds":600,"kind":"refused"',
    "banned    203.0.113.66/32 for 600s: refused, time 1",
    "a postfix/anvil[1]: banned: network=203.0.113.66/32 seconds=600 kind=refused times=1",
    '\n{"time":"2023-11-14T22:13:20.123Z","record":"NetworkBanned","network":"203.0.113.66/32","seconds":6,"kind":"refused"',
    "\n2023-11-14 22:13:20.123 banned    203.0.113.66/32 for 600s: refused, time 1",
)


@pytest.mark.parametrize("form", FORMATS)
def test_nobody_can_have_another_banned(tmp_path: Path, form: FormatName) -> None:
    log = tmp_path / "log"
    records: list[Record] = []
    for text in FORGED:
        origin = Origin("192.0.2.7", 1, text, "ESMTP", "mx", text)
        records += [
            refused("rcpt", replies.UNKNOWN_COMMAND, recipient=f'"{text}"@example.com', origin=origin),
            refused("command", replies.UNKNOWN_COMMAND, origin=origin),
            ProxyRefused(at=AT, listener="mx", ip="192.0.2.7", port=1, reason=text),
            ClientChanged(at=AT, session="s", listener="mx", proxy="192.0.2.9", ip="192.0.2.7", port=1, login=text),
        ]
    write(log, form, records)
    assert networks(log) == []


def test_the_example_of_a_jail_uses_the_filter() -> None:
    text = JAIL.read_text()
    assert f"filter   = {FILTER.stem}" in text
    assert "maxretry = 1" in text
