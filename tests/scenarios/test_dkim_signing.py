"""A relay that signs what it is given to send: small and large, as it leaves, and nothing of strangers."""

import smtplib
import time
from pathlib import Path

import dkim
import pytest

from tests.support.apiclient import NARROW, Client, api_relay, taken
from tests.support.command import run_command
from tests.support.mailauth import check, key, zone
from tests.support.relay import CAPTURE, Relay

ACCESS = 'relay_domains = ["ours.example"]\nrelay_networks = ["127.0.0.9/32"]'
RSA, ED, NEXT = key("rsa1024"), key("ed25519"), key("ed25519", 9)
OTHER = key("ed25519", 4, "other.example")
SETTINGS = """
[dkim]
expire_after = "1w"
[[dkim.keys]]
domain = "example.com"
selector = "{rsa.selector}"
key = {{ file = "{folder}/rsa" }}
authors = ["example.com", "*.example.com"]
[[dkim.keys]]
domain = "example.com"
selector = "{ed.selector}"
key = {{ file = "{folder}/ed" }}
[[dkim.keys]]
domain = "example.com"
selector = "ended"
key = {{ file = "{folder}/ed" }}
ends = 2020-01-01
[[dkim.keys]]
domain = "other.example"
selector = "{other.selector}"
key = {{ file = "{folder}/other" }}
listeners = ["elsewhere"]
[listeners.elsewhere]
bind = ["127.0.0.1:0"]
"""


@pytest.fixture
def served(tmp_path: Path) -> tuple[Relay, Client]:
    for name, own in (("rsa", RSA), ("ed", ED), ("other", OTHER)):
        (tmp_path / name).write_bytes(own.pem())
    made, client = api_relay(tmp_path, CAPTURE + SETTINGS.format(rsa=RSA, ed=ED, other=OTHER, folder=tmp_path))
    made.config.write_text(made.config.read_text().replace('relay_networks = ["127.0.0.0/8"]', ACCESS))
    return made, client


def send(relay: Relay, author: str, subject: str, body: str = "hello\r\n", ip: str = "127.0.0.9") -> bytes:
    """The message as it left."""
    text = f"{author}Subject: {subject}\r\nDate: Thu, 26 Nov 2026 12:00:00 +0000\r\n\r\n{body}"
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=60, source_address=(ip, 0)) as client:
        client.sendmail("joe@example.com", ["ann@ours.example"], text)
    return arrived(relay, subject)


def arrived(relay: Relay, subject: str) -> bytes:
    """The message as it left."""
    (mail,) = relay.wait_captured(f"Subject: {subject}\r\n".encode())
    return mail.partition(b"X-Envelope-To: ")[2].partition(b"\r\n")[2]


def selectors(mail: bytes) -> list[str]:
    """The keys of the signatures, all of which must fit."""
    results = [one for one in check(mail, zone(RSA, ED, NEXT, OTHER), now=int(time.time())) if one.result != "none"]
    assert all(one.is_pass for one in results), results
    return [one.selector for one in results]


def is_right(mail: bytes, place: int) -> bool:
    """What another program says of a signature."""
    known = zone(RSA, ED, NEXT)
    try:
        return bool(dkim.DKIM(mail).verify(idx=place, dnsfunc=lambda name, timeout=5: known[name.decode().rstrip(".")]))
    except dkim.ValidationError:
        return False


def test_what_is_sent_is_signed_as_it_leaves(served: tuple[Relay, Client]) -> None:
    relay, client = served
    joe = "From: Joe <joe@example.com>\r\n"
    with relay:
        small = send(relay, joe, "small", "one  line \r\n\r\n.\r\n\r\n\r\n")
        assert small.startswith(b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com;")
        assert small.count(b"\r\nReceived: ") == 1  # below them
        assert selectors(small) == [RSA.selector, ED.selector]
        assert is_right(small, 0)
        assert is_right(small, 1)
        large = send(relay, joe, "large", "a line of a large message \r\n" * 30_000)
        assert selectors(large) == [RSA.selector, ED.selector]
        assert is_right(large, 1)
        assert not is_right(large.replace(b"a large", b"the large", 1), 1)
        assert selectors(send(relay, "From: x@mail.example.com\r\n", "below")) == [RSA.selector]
        assert selectors(send(relay, joe, "a stranger", ip="127.0.0.1")) == []
        assert selectors(send(relay, "From: x@other.example\r\n", "another listener")) == []
        assert selectors(send(relay, "", "no author")) == []
        assert selectors(send(relay, joe + joe, "two authors")) == []
        signed = relay.wait_for("MessageSigned", 3)
        assert signed[0]["keys"] == [RSA.name, ED.name]
        assert [one["reason"] for one in signed] == ["mail of example.com"] * 2 + ["mail of mail.example.com"]
        assert [one["reason"] for one in relay.wait_for("MessageUnsigned", 3)] == [
            "no key is for mail of other.example by the listener test",
            "a message that is signed has one From field, this one 0",
            "a message that is signed has one From field, this one 2",
        ]
        client.key = NARROW  # may not relay, and is known all the same
        taken(client.post({"from": "only@example.com", "to": ["ann@ours.example"], "subject": "api", "text": "hi"}))
        assert selectors(arrived(relay, "api")) == [RSA.selector, ED.selector]
        (relay.folder / "ed").write_bytes(NEXT.pem())
        text = relay.config.read_text()
        relay.config.write_text(text.replace(f'"{ED.selector}"', f'"{NEXT.selector}"'))
        assert run_command("reload", "-c", relay.config).code == 0
        assert selectors(send(relay, joe, "after a rotation")) == [RSA.selector, NEXT.selector]
        (relay.folder / "rsa").write_text("no key")
        refused = run_command("reload", "-c", relay.config)
        assert refused.code != 0
        assert "is no private key in PEM" in refused.out + refused.err
        assert selectors(send(relay, joe, "as before")) == [RSA.selector, NEXT.selector]


OWN = """
[process]
edges = 1
[dkim]
[[dkim.keys]]
domain = "example.com"
selector = "{rsa.selector}"
key = {{ file = "{folder}/rsa" }}
authors = ["relay.example.com"]
[dsn]
postmaster_copies = ["bounce"]
[[routes]]
recipients = ["fails.example"]
then.fail = "550 5.7.1 no mail for these"
[[aliases]]
entries = {{ "all@ours.example" = ["ann@ours.example", "bob@ours.example"] }}
"""


def test_reports_of_ours_are_signed(tmp_path: Path) -> None:
    (tmp_path / "rsa").write_bytes(RSA.pem())
    with Relay(tmp_path, OWN.format(rsa=RSA, folder=tmp_path) + CAPTURE) as relay:
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as client:
            text = "From: joe@example.com\r\nSubject: first\r\n\r\nhello\r\n"
            client.sendmail("joe@example.com", ["x@fails.example"], text)
            client.sendmail("joe@example.com", ["all@ours.example"], text, rcpt_options=["NOTIFY=SUCCESS"])
        own = relay.wait_captured(b"From: Mail Delivery System <MAILER-DAEMON@relay.example.com>\r\n", 3)
        reports = [mail.partition(b"X-Envelope-To: ")[2].partition(b"\r\n")[2] for mail in own]
        assert [selectors(one) for one in reports] == [[RSA.selector]] * 3
        assert all(is_right(one, 0) for one in reports)
        made = {one["report"] for one in relay.wait_for("DsnQueued", 3)}
        signed = relay.wait_for("MessageSigned", 3)
        assert {one["id"] for one in signed} == made
        assert {one["reason"] for one in signed} == {"mail of relay.example.com"}
        assert {one["reason"] for one in relay.wait_for("MessageUnsigned", 2)} == {
            "no key is for mail of example.com by the listener test"
        }
