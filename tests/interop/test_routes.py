"""Routes in a real server: SRV records from a real DNS server, rewriting, holding through a crash, failing."""

import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from postroad.model.work import Status
from postroad.spool.query import Query, SpoolReader
from tests.support.command import run_command
from tests.support.dnsserver import DnsServer
from tests.support.relay import Relay, wait_until
from tests.support.sink import Sink

MESSAGE = b"From: <alice@example.org>\r\nSubject: hello\r\nMessage-ID: <m@example.org>\r\n\r\nHello\r\n"


@pytest.fixture
def sinks() -> Iterator[tuple[Sink, Sink]]:
    with Sink() as one, Sink(refuse={"gone@new.example": "550 5.1.1 no such user"}) as two:
        yield one, two


def send(relay: Relay, *recipients: str, sender: str = "alice@example.org", options: tuple[str, ...] = ()) -> None:
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=20) as client:
        client.sendmail(sender, recipients, MESSAGE, rcpt_options=options)


def with_resolver(relay: Relay, server: DnsServer) -> None:
    text = relay.config.read_text()
    relay.config.write_text(text.replace('nameservers = ["127.0.0.1:9"]', f'nameservers = ["{server.nameserver}"]'))


def test_mail_goes_where_srv_records_say(tmp_path: Path, sinks: tuple[Sink, Sink]) -> None:
    one, two = sinks
    zone = f"""
_smtp._tcp.west SRV 10 0 {one.port} host
_smtp._tcp.west SRV 20 0 {two.port} host
_smtp._tcp.dead SRV 10 0 9 host
_smtp._tcp.dead SRV 20 0 {two.port} host
_smtp._tcp.away SRV 0 0 0 .
host A 127.0.0.1
"""
    routes = "".join(
        f'\n[[routes]]\nrecipients = ["{name}.example"]\nnext_hops = ["smtp+srv://{name}.example.com"]\n'
        for name in ("west", "dead", "away")
    )
    relay = Relay(tmp_path / "relay", routes)
    with DnsServer({"example.com": zone}) as server:
        with_resolver(relay, server)
        with relay:
            send(relay, "a@west.example", "b@dead.example", "c@away.example")
            wait_until(lambda: one.mails and two.mails, "mail for both")
            assert [mail.recipients for mail in one.mails] == [["<a@west.example>"]]
            assert [mail.recipients for mail in two.mails] == [["<b@dead.example>"]]
            (deferred,) = relay.wait_for("RecipientDeferred", recipient="c@away.example")
            assert (
                deferred["reply"]["text"] == "SRV of _smtp._tcp.away.example.com says that the service is not available"
            )
        explained = run_command("explain", "--to", "a@west.example", "-c", relay.config).out.splitlines()
        hosts = [f"10 0 host.example.com:{one.port}", f"20 0 host.example.com:{two.port}"]
        assert f"dns       SRV _smtp._tcp.west.example.com: {', '.join(hosts)}" in explained
        default = 'TLS opportunistic, by default: delivery.tls = "opportunistic"'
        assert f"target 1  host.example.com[127.0.0.1]:{one.port}; {default}" in explained
        assert f"target 2  host.example.com[127.0.0.1]:{two.port}; {default}" in explained


def test_recipients_are_rewritten_and_reports_name_the_original(tmp_path: Path, sinks: tuple[Sink, Sink]) -> None:
    routes = f"""
[[routes]]
name = "renamed"
recipients = ["old.example"]
then = {{ rewrite = "*@new.example" }}
[[routes]]
recipients = ["new.example"]
next_hops = ["smtp://127.0.0.1:{sinks[1].port}"]
[[routes]]
next_hops = ["capture:"]
"""
    with Relay(tmp_path / "relay", routes) as relay:
        send(relay, "Bob@old.example", "bob@new.example", "Bob@new.example", "gone@old.example")
        wait_until(lambda: sinks[1].mails, "the mail")
        (mail,) = sinks[1].mails
        assert [path.partition(" ORCPT=") for path in mail.recipients] == [
            ("<Bob@new.example>", " ORCPT=", "rfc822;Bob@old.example"),
            ("<bob@new.example>", " ORCPT=", "rfc822;bob@new.example"),
        ]
        relay.wait_for("MessageAccepted", recipients=3)
        (rewritten, other) = relay.wait_for("RecipientRewritten", 2)
        assert (rewritten["recipient"], rewritten["to"]) == ("Bob@old.example", "Bob@new.example")
        assert rewritten["reason"] == 'route renamed (recipients = ["old.example"])'
        assert other["to"] == "gone@new.example"
        (report,) = relay.wait_captured(b"Original-Recipient")
        assert b"Original-Recipient: rfc822; gone@old.example" in report
        assert b"Final-Recipient: rfc822; gone@new.example" in report


def test_held_mail_survives_a_crash_and_failed_and_discarded_mail_ends(tmp_path: Path) -> None:
    routes = """
[[routes]]
name = "review"
recipients = ["held.example"]
then = "hold"
[[routes]]
recipients = ["spam.example"]
then = "discard"
[[routes]]
recipients = ["never.example"]
then = { fail = "550 5.7.1 We do not write to them" }
[[routes]]
next_hops = ["capture:"]
"""
    with Relay(tmp_path / "relay", routes) as relay:
        send(relay, "a@held.example", "b@spam.example", "c@never.example", "d@example.net")
        relay.wait_for("RecipientHeld", recipient="a@held.example", reason="held by route review", lane="hold:review")
        relay.wait_for("RecipientDelivered", recipient="b@spam.example", target="none", lane="discard:2")
        relay.wait_for("RecipientFailed", recipient="c@never.example", lane="fail:550 5.7.1 We do not write to them")
        relay.wait_captured(b"We do not write to them")
        relay.wait_captured(b"Subject: hello")
        relay.kill()
        relay.start()
        send(relay, "e@example.net")
        relay.wait_for("RecipientDelivered", recipient="e@example.net")
        assert len(relay.records("RecipientHeld")) == 1
    (listed,) = SpoolReader(relay.data / "spool").list(Query(status=Status.HELD))
    (held,) = [one for one in listed.recipients if one.status is Status.HELD]
    assert (held.address, held.lane, held.reply) == ("a@held.example", "hold:review", "held by route review")
