"""TLS to next hops with a real Postfix: verified, resumed, pinned; and somebody in the middle who gets nothing."""

import json
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import pytest

from tests.support.authority import Authority, Issued
from tests.support.command import run_command
from tests.support.mitm import ALTER, BREAK, OWN_TLS, REFUSE, STRIP, Middle
from tests.support.ports import free_port
from tests.support.postfix import MAILDIR, Postfix
from tests.support.relay import BODY_CANARY, CAPTURE, QUICK_RETRY, Entry, Relay, route, wait_until

NAME = "mx.example.net"


class Site(NamedTuple):
    """A relay, the Postfix it sends to, and those in the middle."""

    relay: Relay
    postfix: Postfix
    middles: dict[str, Middle]
    beyond: Relay


def settings(issued: Issued) -> dict[str, str]:
    return {
        "smtpd_tls_security_level": "may",
        "smtpd_tls_cert_file": str(issued.certificate),
        "smtpd_tls_key_file": str(issued.key),
        "smtpd_tls_loglevel": "1",
        "virtual_mailbox_domains": "",
    }


def rule(host: str, text: str) -> str:
    return f'\n[[tls_out.destinations]]\nhosts = ["{host}"]\n{text}\n'


def server(issued: Issued) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    return context


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Every way is another loopback address, so that each has a destination of its own."""
    folder = tmp_path_factory.mktemp("tls-out")
    authority, stranger = Authority(folder / "ca"), Authority(folder / "stranger", "Stranger")
    good = authority.issue("good", [NAME])
    attacker = server(stranger.issue("attacker", [NAME]))
    with ExitStack() as stack:
        postfix = stack.enter_context(Postfix(MAILDIR, settings=settings(good)))
        middles = {
            how: stack.enter_context(Middle(postfix.port, how, attacker)) for how in (STRIP, REFUSE, ALTER, OWN_TLS)
        }
        verified = f'level = "verified"\nnames = ["{NAME}"]\nca = "{authority.file}"'
        more = rule("127.0.0.1", verified)
        more += route(f"smtp://127.0.0.1:{postfix.port}", recipients=["good.example"])
        for how, middle in middles.items():
            more += route(f"smtp://127.0.0.1:{middle.port}", recipients=[f"{how.replace(' ', '-')}.example"])
        implicit = free_port()
        listener = f'\n[listeners.implicit]\nbind = ["127.0.0.1:{implicit}"]\ntls = "implicit"\n'
        beyond = Relay(folder / "beyond", f"\n[tls]\n{good.options}" + listener + CAPTURE)
        stack.enter_context(beyond)
        more += f"\n[tls]\n{good.options}"
        more += route(f"smtp://127.0.0.1:{beyond.port}", recipients=["beyond.example"])
        more += route(f"smtps://127.0.0.1:{implicit}", recipients=["implicit.example"])
        more += route("capture:", recipients=["example.org"])
        broken = stack.enter_context(Middle(postfix.port, BREAK, host="127.0.0.2"))
        more += route(f"smtp://127.0.0.2:{broken.port}", recipients=["plain.example"])
        more += '\n[delivery]\nconnection_idle = "0s"\n'
        relay = Relay(folder / "relay", more + QUICK_RETRY)
        stack.enter_context(relay)
        yield Site(relay, postfix, middles, beyond)


def submit(relay: Relay, domain: str, marker: str) -> None:
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
        client.sendmail("a@example.org", [f"b@{domain}"], f"Subject: {marker}\r\n\r\nHello\r\n")


def delivered(relay: Relay, recipient: str, count: int) -> list[Entry]:
    return relay.wait_for("RecipientDelivered", count, recipient=recipient)


def test_postfix_is_verified_and_sessions_are_resumed(site: Site) -> None:
    for number in range(3):
        submit(site.relay, "good.example", f"good-{number}")
        delivered(site.relay, "b@good.example", number + 1)
    records = delivered(site.relay, "b@good.example", 3)
    for record in records:
        assert record["tls"].startswith("TLSv1.3 with cipher")
        assert record["secured"]["level"] == "verified"
        assert record["secured"]["verified"] is True
        assert record["secured"]["reason"] == "tls_out.destinations[0]"
    assert [record["secured"].get("resumed", False) for record in records] == [False, True, True]
    assert site.postfix.log.count("TLS connection established from") >= 3


def test_who_is_in_the_middle_gets_nothing(site: Site) -> None:
    codes = {STRIP: "4.7.4", REFUSE: "4.7.4", ALTER: "4.7.4", OWN_TLS: "4.7.5"}
    before = len(site.relay.records("RecipientDelivered"))
    for how in codes:
        submit(site.relay, f"{how.replace(' ', '-')}.example", how)

    def deferrals(how: str) -> list[Entry]:
        lane = f"smtp://127.0.0.1:{site.middles[how].port}"
        return [one for one in site.relay.records("RecipientDeferred") if one["lane"] == lane]

    for how, code in codes.items():
        wait_until(partial(deferrals, how), f"{how}: a deferral")
        for one in deferrals(how):
            assert one["reply"]["enhanced"] == code, one
            assert "verified TLS is required (tls_out.destinations[0])" in one["reply"]["text"]
        said = b"".join(site.middles[how].heard)
        assert b"EHLO" in said
        assert b"MAIL" not in said
        assert b"Subject" not in said
    assert len(site.relay.records("RecipientDelivered")) == before
    listed = run_command("queue", "list", "--json", "-c", site.relay.config).out
    for how in codes:
        assert f"b@{how.replace(' ', '-')}.example" in listed


def test_a_fallback_to_plain_text_is_remembered_and_told(site: Site) -> None:
    submit(site.relay, "plain.example", "fallback")
    (record,) = delivered(site.relay, "b@plain.example", 1)
    assert "tls" not in record
    assert record["secured"]["level"] == "opportunistic"
    assert record["secured"]["words"].startswith("plain text: TLS failed: ")
    submit(site.relay, "plain.example", "again")
    again = delivered(site.relay, "b@plain.example", 2)[1]
    assert again["secured"]["words"] == "plain text: TLS failed a while ago"
    explained = run_command("explain", "--to", "b@plain.example", "-c", site.relay.config).out
    assert "gets plain text for a while: TLS with it failed" in explained


def test_tls_from_the_first_octet(site: Site) -> None:
    submit(site.relay, "implicit.example", "first-octet")
    (mail,) = site.beyond.wait_captured(b"first-octet")
    assert b"with ESMTPS id" in mail
    (record,) = delivered(site.relay, "b@implicit.example", 1)
    assert (record["secured"]["level"], record["secured"]["verified"]) == ("verified", True)
    assert record["lane"].startswith("smtps://127.0.0.1:")


def requiring_tls(relay: Relay, recipient: str, marker: str) -> None:
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
        client.ehlo()
        assert not client.has_extn("requiretls")
        client.starttls()
        client.ehlo()
        assert client.has_extn("requiretls")
        body = f"Subject: {marker}\r\n\r\n{BODY_CANARY}\r\n"
        client.sendmail("a@example.org", [recipient], body, ["REQUIRETLS"])


def test_requiretls_all_the_way(site: Site) -> None:
    requiring_tls(site.relay, "b@beyond.example", "all-the-way")
    (mail,) = site.beyond.wait_captured(b"all-the-way")
    assert b"with ESMTPS id" in mail
    (record,) = delivered(site.relay, "b@beyond.example", 1)
    assert record["secured"]["source"] == "requiretls"
    assert record["secured"]["reason"] == "REQUIRETLS, by tls_out.destinations[0]"
    assert record["lane"].endswith("?tls=requiretls")


def test_requiretls_comes_back_where_the_next_hop_does_not_offer_it(site: Site) -> None:
    requiring_tls(site.relay, "b@good.example", "not-offered")
    (failure,) = site.relay.wait_for("RecipientFailed", 1, recipient="b@good.example")
    assert failure["reply"]["enhanced"] == "5.7.30"
    (report,) = site.relay.wait_captured(b"5.7.30")
    assert b"Subject: not-offered" in report  # the header section goes back, and nothing more
    assert BODY_CANARY.encode() not in report


def test_the_probe_tells_the_whole_decision(site: Site) -> None:
    good = run_command("tls", "probe", f"smtp://127.0.0.1:{site.postfix.port}", "-c", site.relay.config)
    assert good.code == 0, good
    for words in (
        "demand    verified, by rule: tls_out.destinations[0]",
        "tls       TLSv1.3 with cipher",
        f"shows 0   CN={NAME} for {NAME}, until ",
        "verified  verified: verified",
        "result    mail goes there",
    ):
        assert words in good.out, good.out
    bad = run_command("tls", "probe", "own-tls.example", "--json", "-c", site.relay.config)
    assert bad.code == 69
    (target,) = json.loads(bad.out)["targets"]
    assert target["is_met"] is False
    assert "leads to no authority that we trust" in target["words"]
    assert target["chain"][0]["names"] == [NAME]
    assert "give its authority as ca" in target["mend"]
    stripped = run_command("tls", "probe", "strip.example", "-c", site.relay.config)
    assert stripped.code == 69
    assert "somebody on the way took the offer out" in stripped.out
    explained = run_command("explain", "--to", "b@good.example", "-c", site.relay.config)
    assert "; TLS verified, by rule: tls_out.destinations[0]" in explained.out
    assert run_command("tls", "probe", "nonsense..example", "-c", site.relay.config).code != 0
