"""A server with two edges and `[[policies]]`: a file of the operator's own, a block list, a greylist that edges share.

One server for all of it, with a real DNS server; strangers come from 127.0.0.2 and above.
"""

import smtplib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dnsserver import DnsServer
from tests.support.relay import CAPTURE, Relay, wait_until

OWN = '''"""What this office wants."""

from postroad.policy.context import MessageContext, RcptContext
from postroad.policy.verdict import Adjust, Reject, Verdict
from postroad.smtp import replies


def closed(ctx: RcptContext, *, names: tuple[str, ...] = ()) -> Verdict | None:
    """Refuse recipients that are {word}."""
    if ctx.recipient.local in names:
        return Reject(replies.unknown_recipient(ctx.recipient), "{word}")
    return None


async def mark(ctx: MessageContext) -> Adjust | None:
    """Tag what comes from strangers."""
    return None if ctx.peer.relays else Adjust("from outside", tags=("outside",))
'''
POLICIES = """
[process]
edges = 2
[[policies]]
use = "dnsbl"
[[policies.lists]]
zone = "bl.test"
timeout = "20s"
[[policies]]
use = "office:closed"
names = ["gone"]
[[policies]]
use = "office:mark"
[[policies]]
use = "greylist"
listeners = ["test"]
delay = "1s"
"""


@pytest.fixture(scope="module")
def nameserver() -> Iterator[str]:
    with DnsServer({"bl.test": "9.0.0.127 A 127.0.0.2", "127.in-addr.arpa": "2.0.0 PTR mx.example.org."}) as dns:
        yield dns.nameserver


def relay_with(folder: Path, policies: str, nameserver: str) -> Relay:
    (folder / "policies").mkdir()
    (folder / "policies" / "office.py").write_text(OWN.format(word="closed"))
    relay = Relay(folder, CAPTURE + policies)
    text = relay.config.read_text().replace('["127.0.0.0/8"]', '["127.0.0.1/32"]\nrelay_domains = ["example.com"]')
    relay.config.write_text(text.replace("127.0.0.1:9", nameserver))
    return relay


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, nameserver: str) -> Iterator[Relay]:
    with relay_with(tmp_path_factory.mktemp("policies"), POLICIES, nameserver) as relay:
        yield relay


def attempt(relay: Relay, ip: str, recipient: str = "bob@example.com", subject: str = "") -> tuple[int, str]:
    """The reply to RCPT of one try from `ip`; with a subject the mail is sent if it may be. 0: edges are exchanged."""
    try:
        return _attempt(relay, ip, recipient, subject)
    except (smtplib.SMTPException, OSError) as error:
        return 0, repr(error)


def _attempt(relay: Relay, ip: str, recipient: str, subject: str) -> tuple[int, str]:
    with smtplib.SMTP("127.0.0.1", relay.port, "client.example.org", timeout=60, source_address=(ip, 0)) as client:
        client.ehlo()
        client.mail("alice@example.org")
        code, text = client.rcpt(recipient)
        if subject and code == 250:
            client.data(f"Subject: {subject}\r\n\r\nx\r\n")
        return code, text.decode()


def test_all_policies_are_asked(server: Relay) -> None:
    assert attempt(server, "127.0.0.9") == (
        554,
        "5.7.1 Service unavailable; [127.0.0.9] is listed by bl.test",
    )
    assert attempt(server, "127.0.0.2", "gone@example.com")[0] == 550
    assert attempt(server, "127.0.0.1", "gone@example.com")[0] == 550  # one's own is asked of everybody
    assert attempt(server, "127.0.0.1", "bob@example.net")[0] == 250
    assert attempt(server, "127.0.0.3") == (451, "4.7.1 Greylisted, try again later")


def test_edges_share_what_was_greylisted(server: Relay) -> None:
    assert attempt(server, "127.0.2.2")[0] == 451
    wait_until(lambda: attempt(server, "127.0.2.2")[0] == 250, "a client that came back passes")
    for _ in range(8):  # whichever edge it comes to
        assert attempt(server, "127.0.2.2")[0] == 250
    server.wait_for("CommandRefused", detail="greylist: 127.0.2.0/24 has to wait 1 s more")


def test_adjustments_of_ones_own_are_heeded(server: Relay) -> None:
    wait_until(lambda: attempt(server, "127.0.3.2", subject="mark")[0] == 250, "a client that came back passes")
    adjusted = server.wait_for("MessageAdjusted")
    assert adjusted[0]["tags"] == ["outside"]
    assert adjusted[0]["reason"] == "from outside"


def test_a_reload_takes_what_has_changed(server: Relay) -> None:
    (server.folder / "policies" / "office.py").write_text(OWN.format(word="locked"))  # as long as before
    server.config.write_text(server.config.read_text().replace('["gone"]', '["gone", "away"]'))
    reload(server)
    wait_until(lambda: attempt(server, "127.0.0.2", "away@example.com")[0] == 550, "new edges work")
    server.wait_for("CommandRefused", recipient="away@example.com", detail="locked")
    (server.folder / "policies" / "office.py").write_text(OWN.format(word="barred"))  # nothing else changes
    reload(server)
    wait_until(
        lambda: attempt(server, "127.0.0.2", "away@example.com")[0] == 550 and barred(server), "the file is read again"
    )


def barred(relay: Relay) -> bool:
    return any(entry["detail"] == "barred" for entry in relay.records("CommandRefused"))


def test_a_broken_policy_changes_nothing(server: Relay) -> None:
    (server.folder / "policies" / "office.py").write_text("def closed(ctx):\n")
    done = reload(server, 78)
    assert "office:closed" in done
    assert attempt(server, "127.0.0.2", "gone@example.com")[0] == 550
    assert "importing it fails" in postroad(server, "check", 78)


def test_one_process_does_the_same(tmp_path: Path, nameserver: str) -> None:
    with relay_with(tmp_path, POLICIES.replace("edges = 2", "edges = 0"), nameserver) as relay:
        assert attempt(relay, "127.0.0.9")[0] == 554
        assert attempt(relay, "127.0.0.2", "gone@example.com")[0] == 550
        assert attempt(relay, "127.0.3.2")[0] == 451
        (tmp_path / "policies" / "office.py").write_text(OWN.format(word="barred"))
        relay.config.write_text(relay.config.read_text().replace('"bl.test"', '"other.test"'))
        reload(relay)
        assert attempt(relay, "127.0.0.2", "gone@example.com")[0] == 550
        relay.wait_for("CommandRefused", detail="barred")
        assert attempt(relay, "127.0.0.9")[0] in {250, 451}  # no list has it any more
        wait_until(lambda: attempt(relay, "127.0.3.2", subject="kept")[0] == 250, "what was greylisted is remembered")
        assert relay.stop() == 0


def reload(relay: Relay, status: int = 0) -> str:
    return postroad(relay, "reload", status)


def postroad(relay: Relay, command: str, status: int) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "postroad", command, "-c", str(relay.config)],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr
