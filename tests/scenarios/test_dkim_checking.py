"""Signed mail of strangers before a relay with the policy `dkim`: real sessions, DNS, small and large content."""

import smtplib
import time
from pathlib import Path

from tests.support.dnsserver import DnsServer
from tests.support.mailauth import key, sign
from tests.support.relay import CAPTURE, Relay

OWN = '''
from postroad.mailauth.dkim_result import DkimResults
from postroad.policy.context import MessageContext
from postroad.policy.verdict import Adjust


def note(ctx: MessageContext) -> Adjust | None:
    """Tag with the domains that answer for the message."""
    found = ctx.facts.get(DkimResults)
    return Adjust("signed", tags=found.domains) if found and found.domains else None
'''
POLICIES = '\n[[policies]]\nuse = "dkim"\nfail = "reject"\n[[policies]]\nuse = "own:note"\n'
RSA, ED = key("rsa2048"), key("ed25519")
PLAIN = "From: joe@example.com\r\nTo: ann@ours.example\r\nSubject: {}\r\n\r\n{}"


def record(own: str) -> str:
    """A TXT record in strings of 255 octets."""
    return " ".join(f'"{own[at : at + 255]}"' for at in range(0, len(own), 255))


def send(relay: Relay, message: bytes) -> str:
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as client:
        try:
            client.sendmail("joe@example.com", ["ann@ours.example"], message)
        except smtplib.SMTPDataError as error:
            return f"{error.smtp_code} {error.smtp_error!r}"
    return ""


def test_signatures_are_checked_as_mail_comes_in(tmp_path: Path) -> None:
    zone = "\n".join(f"{own.selector}._domainkey TXT {record(own.record())}" for own in (RSA, ED))
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "own.py").write_text(OWN)
    relay = Relay(tmp_path, CAPTURE + POLICIES)
    text = relay.config.read_text().replace('relay_networks = ["127.0.0.0/8"]', 'relay_networks = ["127.0.0.9/32"]')
    with DnsServer({"example.com": zone}) as dns:
        text = text.replace("[access]\n", '[access]\nrelay_domains = ["ours.example"]\n')
        relay.config.write_text(text.replace('"127.0.0.1:9"', f'"{dns.nameserver}"'))
        now = int(time.time())
        with relay:
            small = sign(PLAIN.format("small", "hello\r\n").encode(), [RSA, ED], now=now)
            large = sign(PLAIN.format("large", "a line \r\n" * 60_000).encode(), [RSA, ED], now=now)
            plain = PLAIN.format("plain", "hello\r\n").encode()
            assert send(relay, small) == send(relay, large) == send(relay, plain) == ""
            for message in (small.replace(b"hello", b"bye"), large + b"more\r\n"):
                assert send(relay, message) == "550 b'5.7.20 No passing DKIM signature found'"
            (*_, adjusted) = relay.wait_for("MessageAdjusted", 2)
            assert adjusted["tags"] == ["example.com"]
            assert len(relay.records("MessageAdjusted")) == 2
            refused = relay.wait_for("CommandRefused", 2)
            assert {one["detail"] for one in refused} == {"dkim: the body was changed"}
            assert len(relay.wait_for("MessageAccepted", 3)) == 3
