"""A relay that signs what it is given to send: small and large, as it leaves, and nothing of strangers."""

import smtplib
import time
from pathlib import Path

import dkim
import pytest

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
def relay(tmp_path: Path) -> Relay:
    for name, own in (("rsa", RSA), ("ed", ED), ("other", OTHER)):
        (tmp_path / name).write_bytes(own.pem())
    made = Relay(tmp_path, CAPTURE + SETTINGS.format(rsa=RSA, ed=ED, other=OTHER, folder=tmp_path))
    made.config.write_text(made.config.read_text().replace('relay_networks = ["127.0.0.0/8"]', ACCESS))
    return made


def send(relay: Relay, author: str, subject: str, body: str = "hello\r\n", ip: str = "127.0.0.9") -> bytes:
    """The message as it left."""
    text = f"{author}Subject: {subject}\r\nDate: Thu, 26 Nov 2026 12:00:00 +0000\r\n\r\n{body}"
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=60, source_address=(ip, 0)) as client:
        client.sendmail("joe@example.com", ["ann@ours.example"], text)
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


def test_what_is_sent_is_signed_as_it_leaves(relay: Relay) -> None:
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
