"""Real pflogsumm and real fail2ban read the log of format "postfix" as they read Postfix's.

A made-up day of records is written by the sink's own encoder; pflogsumm's grand totals must equal the count of
records, and fail2ban's stock filter must match every line about a peer that misbehaved and no other.
"""

import re
import shutil
import smtplib
import subprocess
from pathlib import Path

import pytest

from postroad.model.address import Mailbox
from postroad.model.envelope import Origin
from postroad.model.records import AuthFailed, ConnectionOpened, DsnQueued, MessageRemoved, Record
from postroad.observe.log import make_format
from postroad.smtp import replies
from tests.support.records import AT, SAMPLES, accepted, closed, deferred, delivered, failed, refused
from tests.support.relay import BODY_CANARY, Relay, wait_until

MINUTE = 60_000_000
FILTER = Path("/etc/fail2ban/filter.d/postfix.conf")


def write_log(path: Path, day: list[Record]) -> None:
    encode = make_format("postfix", hostname="relay.example.com", pid=4242)
    path.write_bytes(b"".join(encode(record) for record in day))


def program(name: str) -> str:
    path = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert path, f"{name} not found: install the Debian package of that name"
    return path


def made_up_day() -> list[Record]:
    """One session of 40 messages: 30 delivered, 4 deferred twice and then delivered, 6 failed with a DSN; 5 refused."""
    day: list[Record] = [ConnectionOpened(at=AT, session="s1", listener="mx", ip="192.0.2.7", port=40000)]
    at = AT
    for number in range(40):
        at += MINUTE // 10
        queue_id = f"3Pt2mN2VX{number:04d}"
        day.append(accepted(queue_id=queue_id, recipients=1, size=1000 + number, at=at))
        if number < 30:
            day.append(delivered(queue_id=queue_id, at=at))
        elif number < 34:
            day.extend(
                [
                    deferred(queue_id=queue_id, at=at),
                    deferred(queue_id=queue_id, command="", at=at),
                    delivered(queue_id=queue_id, at=at),
                ]
            )
        else:
            day.append(failed(queue_id=queue_id, at=at, expired=number == 39))
            day.append(
                DsnQueued(at=at, id=queue_id, report=f"{queue_id}R", kind="failed", to="alice@example.org", size=2000)
            )
            day.append(delivered("alice@example.org", queue_id=f"{queue_id}R", at=at))
            day.append(MessageRemoved(at=at, id=f"{queue_id}R"))
        day.append(MessageRemoved(at=at, id=queue_id))
    denied = replies.relay_access_denied(Mailbox("eve@example.com"))
    day.extend(refused("rcpt", denied, recipient="eve@example.com", at=at) for _ in range(4))
    day.append(refused("mail", replies.STORAGE_FULL, at=at))
    day.append(closed("quit", "ehlo=1 mail=41 rcpt=44 data=40 quit=1 commands=127", messages=40, at=at + MINUTE))
    return day


def pflogsumm(log: Path) -> str:
    """The report of the real program."""
    command = [program("pflogsumm"), "--smtpd_stats", "--problems-first", str(log)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    return done.stdout


def pflogsumm_totals(log: Path) -> dict[str, str]:
    """The report's grand totals: "received", "delivered", "bytes received" ..."""
    form = re.compile(r"^ +([\d.]+k?) +([a-z][a-z ]+?)(?: +\(.*\))?$", re.MULTILINE)
    return {label.strip(): count for count, label in form.findall(pflogsumm(log))}


def test_pflogsumm_counts_what_we_count(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    write_log(log, made_up_day())
    report = pflogsumm(log)
    totals = pflogsumm_totals(log)
    expected = {
        "received": "40",
        "delivered": "40",  # 34 messages and 6 reports
        "forwarded": "0",
        "deferred": "4",
        "bounced": "6",
        "rejected": "5",
        "connections": "1",
    }
    assert {label: totals.get(label) for label in expected} == expected
    assert totals["bytes received"] == str(sum(1000 + number for number in range(40)))
    assert "(8  deferrals)" in report
    assert "Relay access denied" in report
    assert "(sender not in log)" not in report
    assert "Messages with no size data" not in report


def test_pflogsumm_reads_the_log_of_a_real_relay(tmp_path: Path) -> None:
    with Relay(tmp_path / "relay", log="postfix") as relay:
        with smtplib.SMTP("127.0.0.1", relay.port, "client.example.org", timeout=30) as client:
            for number in range(7):
                body = f"Message-ID: <{number}@example.org>\r\n\r\n{BODY_CANARY}\r\n"
                client.sendmail("alice@example.org", ["bob@example.net", "carol@example.net"], body)
            assert client.docmd("RCPT TO:<x@y@z>")[0] == 503
        wait_until(lambda: len(relay.captured()) == 7, "seven captured messages")
        assert relay.stop() == 0
    totals = pflogsumm_totals(relay.log_file)
    assert (totals["received"], totals["delivered"], totals["rejected"]) == ("7", "14", "1")


def matched_lines(log: Path, mode: str) -> list[str]:
    """The log lines that fail2ban's own postfix filter matches in `mode`."""
    done = subprocess.run(
        [program("fail2ban-regex"), "--print-all-matched", str(log), f"{FILTER.with_suffix('')}[mode={mode}]"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Failregex:" in done.stdout, done.stdout + done.stderr
    _, _, tail = done.stdout.partition("Matched line(s):")
    return [line.strip().removeprefix("|").strip() for line in tail.splitlines() if "postfix/" in line]


BAD_IP = "203.0.113.9"
BAD = Origin(BAD_IP, 4444, "bad.example.net", "ESMTP", "mx", "bad")


def mixed_day() -> list[Record]:
    """Good traffic of 192.0.2.7 and one of each misdeed of 203.0.113.9."""
    denied = replies.relay_access_denied(Mailbox("eve@example.com"))
    good = [record for record in made_up_day() if type(record).__name__ != "CommandRefused"]
    return [
        *good,
        refused("rcpt", denied, recipient="eve@example.com", origin=BAD),
        refused("connect", replies.TALKED_FIRST, origin=BAD),
        *(auth_failed(code, reason) for code, reason in ((535, "wrong password"), (454, "timeout"), (534, "too weak"))),
        bad_peer_closed("too many errors", "ehlo=1 unknown=20 commands=21"),
        bad_peer_closed("connection lost", "ehlo=1 commands=1"),
        bad_peer_closed("connection lost while receiving content", "ehlo=1 mail=1 rcpt=1 data=1 commands=4"),
    ]


def auth_failed(code: int, reason: str) -> Record:
    return AuthFailed(
        at=AT, origin=BAD, login="a", mechanism="PLAIN", source="users", reason=reason, code=code, seconds=1.0
    )


def bad_peer_closed(reason: str, commands: str) -> Record:
    record = closed(reason, commands, session="bad")
    return type(record)(**{**{name: getattr(record, name) for name in record.__struct_fields__}, "ip": BAD_IP})


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("more", ("NOQUEUE: reject: RCPT", "improper command pipelining", "too many errors")),
        ("normal", ("NOQUEUE: reject: RCPT", "improper command pipelining", "too many errors")),
        ("errors", ("too many errors",)),
        ("auth", ("SASL PLAIN authentication failed: wrong password",)),
        ("ddos", ("lost connection after EHLO",)),
        (
            "aggressive",
            (
                "NOQUEUE: reject: RCPT",
                "improper command pipelining",
                "SASL PLAIN authentication failed: wrong password",
                "too many errors",
                "lost connection after EHLO",
            ),
        ),
    ],
)
def test_fail2ban_bans_who_misbehaves_and_nobody_else(tmp_path: Path, mode: str, expected: tuple[str, ...]) -> None:
    log = tmp_path / "mail.log"
    write_log(log, mixed_day())
    matched = matched_lines(log, mode)
    assert len(matched) == len(expected), matched
    for line, words in zip(matched, expected, strict=True):
        assert words in line
        assert f"[{BAD_IP}]" in line


def test_fail2ban_cannot_be_made_to_ban_somebody_else(tmp_path: Path) -> None:
    forged = "x[198.51.100.1]: 554 5.7.1 <a>: Relay access denied; from unknown[198.51.100.1]"
    origin = Origin(BAD_IP, 1, forged, "ESMTP", "mx", "bad")
    denied = replies.relay_access_denied(Mailbox(f'"{forged}"@example.com'))
    log = tmp_path / "mail.log"
    write_log(log, [refused("rcpt", denied, recipient=f'"{forged}"@example.com', origin=origin)])
    done = subprocess.run(
        [program("fail2ban-regex"), "--print-all-matched", "-o", "ip", str(log), f"{FILTER.with_suffix('')}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "198.51.100.1" not in done.stdout.split()


def test_every_line_has_the_form_that_tools_split(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    write_log(log, list(SAMPLES))
    form = re.compile(r"^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ postfix/[a-z]+\[\d+\]: \S.*$")
    lines = log.read_text().splitlines()
    assert len(lines) > len(SAMPLES) * 3 // 4  # some records have no line, some have several
    assert [line for line in lines if not form.match(line)] == []
