"""Recipients in a real relay: lists that change, databases, and next hops that are asked: Postfix, another relay, none.

Nothing is sent while a next hop is asked; unknown names are refused at RCPT, and what cannot be told now is deferred.
"""

import os
import signal
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import run_command
from tests.support.ports import free_port
from tests.support.postfix import MAILDIR, Postfix
from tests.support.postgres import PASSWORD, Postgres
from tests.support.processes import Processes
from tests.support.relay import CAPTURE, Relay, route, wait_until
from tests.support.sink import Sink
from tests.support.slapd import READER, READER_PASSWORD, SUFFIX, Slapd, folder_of, user

SENDER = "alice@example.org"
NO = (550, b"5.1.1 <nobody@known.example>: No such recipient")
LATER = (451, b"4.3.0 Recipients cannot be looked up now, try again later")


def ask(relay: Relay, *recipients: str) -> list[tuple[int, bytes]]:
    """The reply to RCPT for each, in one transaction; nothing is sent."""
    with smtplib.SMTP("127.0.0.1", relay.port, "client.example.org", timeout=60) as client:
        client.ehlo()
        client.mail(SENDER)
        return [client.rcpt(recipient) for recipient in recipients]


def codes(relay: Relay, *names: str) -> list[int]:
    return [code for code, _ in ask(relay, *(f"{name}@known.example" for name in names))]


def call_ahead(*options: str) -> str:
    lines = "\n".join(options)
    return f'\n[[recipients]]\ndomains = ["known.example"]\n[recipients.call_ahead]\ntimeout = "20s"\n{lines}\n'


@pytest.fixture(scope="module")
def postfix() -> Iterator[Postfix]:
    """Knows bob alone."""
    settings = {
        "virtual_mailbox_domains": "known.example",
        "virtual_mailbox_maps": "inline:{ { bob@known.example = inbox/ } }",
        "recipient_delimiter": "+",
    }
    with Postfix(MAILDIR, settings=settings) as server:
        yield server


def test_postfix_is_asked_and_gets_nothing_but_real_mail(tmp_path: Path, postfix: Postfix) -> None:
    hop = route(f"smtp://127.0.0.1:{postfix.port}")
    with Relay(tmp_path, hop + call_ahead()) as relay:
        assert ask(relay, "bob@known.example", "nobody@known.example", "bob@else.example") == [
            (250, b"2.1.5 Ok"),
            NO,
            (250, b"2.1.5 Ok"),
        ]
        assert codes(relay, "bob", "BOB", "nobody", "bob+tag", "postmaster") == [250, 250, 550, 250, 250]
        asked = relay.wait_for("RecipientAsked", 3)
        assert [(one["recipient"], one["answer"]) for one in asked] == [
            ("bob@known.example", "known"),
            ("nobody@known.example", "unknown"),
            ("bob+tag@known.example", "known"),
        ]
        assert "User unknown in virtual mailbox table" in asked[1]["reply"]
        for first in range(0, 40, 10):  # more than Postfix takes of one client
            assert codes(relay, *(f"n{first + number}" for number in range(10))) == [550] * 10
        relay.wait_for("RecipientAsked", 43)
        assert not relay.records("CatchAllFound")
        assert postfix.queued() == []
        with smtplib.SMTP("127.0.0.1", relay.port, "client.example.org", timeout=60) as client:
            client.sendmail(SENDER, ["bob@known.example"], b"Subject: real\r\n\r\nhello\r\n")
        relay.wait_for("RecipientDelivered")
        wait_until(lambda: any((postfix.maildir / "new").glob("*")), "the one mail is there")
        assert len(list((postfix.maildir / "new").glob("*"))) == 1


def test_edges_ask_too(tmp_path: Path, postfix: Postfix) -> None:
    hop = route(f"smtp://127.0.0.1:{postfix.port}")
    with Processes(tmp_path, hop + call_ahead(), edges=2) as relay:
        assert [codes(relay, "bob", "nobody") for _ in range(4)] == [[250, 550]] * 4


def test_another_relay_of_ours_is_asked_in_front_of_captured_mail(tmp_path: Path) -> None:
    listed = '\n[[recipients]]\ndomains = ["known.example"]\naddresses = ["bob@known.example"]\n'
    with Relay(tmp_path / "behind", CAPTURE + listed) as behind:
        hops = call_ahead(f'next_hops = ["smtp://127.0.0.1:{free_port()}", "smtp://127.0.0.1:{behind.port}"]')
        with Relay(tmp_path / "front", CAPTURE + hops) as relay:
            assert codes(relay, "bob", "nobody", "bob+x") == [250, 550, 250]
            assert relay.wait_for("RecipientAsked", 3)[1]["reply"].startswith("550 5.1.1 <nobody@known.example>")
            told = run_command("explain", "--to", "nobody@known.example", "-c", relay.config).out
            assert (
                f"asked     127.0.0.1[127.0.0.1]:{behind.port} for <nobody@known.example>: unknown: 550 5.1.1" in told
            )
            assert "reply     550 5.1.1 <nobody@known.example>: No such recipient" in told
            assert (
                "aliases   refused" not in run_command("explain", "--to", "bob@known.example", "-c", relay.config).out
            )
        assert not behind.records("MessageAccepted")


def test_a_next_hop_that_is_down_defers_and_known_names_go_on(tmp_path: Path) -> None:
    listed = '\n[[recipients]]\ndomains = ["known.example"]\naddresses = ["bob@known.example"]\n'
    behind = Relay(tmp_path / "behind", CAPTURE + listed)
    asking = call_ahead('known_for = "1s"', 'unknown_for = "1s"', f'next_hops = ["smtp://127.0.0.1:{behind.port}"]')
    with Relay(tmp_path / "front", CAPTURE + asking) as relay:
        assert ask(relay, "bob@known.example") == [LATER]
        assert "refused" in relay.wait_for("RecipientAsked", answer="unclear")[0]["reply"].lower()
        with behind:
            wait_until(lambda: codes(relay, "bob") == [250], "it is asked again")
            assert codes(relay, "nobody") == [550]
        before = len(relay.records("RecipientAsked", answer="unclear"))
        wait_until(lambda: codes(relay, "nobody") == [451], "the no has run out")
        assert codes(relay, "bob") == [250]
        relay.wait_for("RecipientAsked", before + 1, answer="unclear")


def test_a_next_hop_that_takes_anything_is_told_once(tmp_path: Path) -> None:
    with Sink(extensions=()) as sink, Relay(tmp_path, route(f"smtp://127.0.0.1:{sink.port}") + call_ahead()) as relay:
        assert codes(relay, "bob", "nobody", "anybody") == [250, 250, 250]
        (found,) = relay.wait_for("CatchAllFound")
        assert len(relay.records("RecipientAsked")) == 1
    assert (found["domain"], found["target"]) == ("known.example", f"127.0.0.1[127.0.0.1]:{sink.port}")


def test_a_configured_sender_is_used_and_a_refused_null_sender_is_no_no(tmp_path: Path) -> None:
    settings = {
        "virtual_mailbox_domains": "known.example",
        "virtual_mailbox_maps": "inline:{ { bob@known.example = inbox/ } }",
        "smtpd_delay_reject": "no",
        "smtpd_sender_restrictions": "check_sender_access inline:{ { <> = REJECT } }",
    }
    with Postfix(MAILDIR, settings=settings) as strict:
        hop = route(f"smtp://127.0.0.1:{strict.port}")
        with Relay(tmp_path / "null", hop + call_ahead()) as relay:
            assert codes(relay, "bob", "nobody") == [451, 451]
        with Relay(tmp_path / "named", hop + call_ahead('sender = "probe@relay.example.com"')) as relay:
            assert codes(relay, "bob", "nobody") == [250, 550]


def test_a_list_that_changes_and_a_reload(tmp_path: Path) -> None:
    (tmp_path / "known").write_text("bob@known.example\n")
    listed = '\n[[recipients]]\ndomains = ["known.example"]\nfile = "known"\n'
    strict = '\n[[aliases]]\nentries = { "sales@known.example" = ["bob@known.example"] }\n'
    with Relay(tmp_path, CAPTURE + listed + strict) as relay:
        assert codes(relay, "bob", "bob+x", "sales", "eve", "postmaster") == [250, 250, 250, 550, 250]
        (tmp_path / "known").write_text("eve@known.example\n")
        relay.wait_for("TableLoaded", entries=1, count=2)
        assert codes(relay, "bob", "eve") == [550, 250]
        (tmp_path / "known").write_text("eve@known.example\nbroken\n")
        relay.wait_for("TableRefused")
        assert codes(relay, "bob", "eve") == [550, 250]
        text = relay.config.read_text().replace('file = "known"', 'addresses = ["ann@known.example"]')
        relay.config.write_text(text)
        os.kill(relay.pid, signal.SIGHUP)
        relay.wait_for("ConfigReloaded")
        assert codes(relay, "ann", "eve", "sales") == [250, 550, 250]


def test_a_directory_knows_addresses_and_proxy_addresses(tmp_path: Path) -> None:
    proxies = ["SMTP:bob@known.example", "smtp:robert@known.example"]
    people = folder_of("users") + user("bob", attributes={"mail": "bob@known.example", "proxyAddresses": proxies})
    people += user("ann", attributes={"mail": "ann@known.example"})
    with Slapd(people) as slapd:
        listed = f"""
[[recipients]]
domains = ["known.example"]
ldap = {{ directory = "office", base = "{SUFFIX}", known_for = "1s", unknown_for = "1s" }}

[directories.office]
servers = ["{slapd.url}"]
ca = "{slapd.ca}"
bind_dn = "{READER}"
bind_password = "{READER_PASSWORD}"
connect_timeout = "20s"
answer_timeout = "20s"
timeout = "25s"
"""
        with Relay(tmp_path / "relay", CAPTURE + listed) as relay:
            assert codes(relay, "bob", "Robert", "ann", "ann+x", "nobody", "postmaster") == [250] * 4 + [550, 250]
            assert codes(relay, "*", "bob)(mail=*", '"b*"') == [550, 501, 550]
            slapd.kill()
            assert ask(relay, "other@known.example", "other@else.example") == [LATER, (250, b"2.1.5 Ok")]
            assert codes(relay, "bob") == [250]
            slapd.start()
            wait_until(lambda: codes(relay, "other") == [550], "the directory is asked again")
            assert READER_PASSWORD not in str(relay.records())


def test_postgresql_knows_who_has_a_row(tmp_path: Path) -> None:
    with Postgres() as server:
        server.run("CREATE TABLE users (address text, id integer)")
        server.run("INSERT INTO users VALUES ('bob@known.example', 7)")
        (tmp_path / "password").write_text(f"{PASSWORD}\n")
        query = "SELECT id FROM users WHERE address = $1"
        listed = f"""
[[recipients]]
domains = ["known.example"]
sql = {{ database = "{server.url}", query = "{query}", password = {{ file = "{tmp_path}/password" }}, timeout = "10s" }}
"""
        with Relay(tmp_path / "relay", CAPTURE + listed) as relay:
            assert codes(relay, "bob", "Bob+x", "nobody") == [250, 250, 550]
            server.kill()
            assert ask(relay, "bob@known.example", "bob@else.example") == [LATER, (250, b"2.1.5 Ok")]
            server.start()
            assert codes(relay, "bob", "nobody") == [250, 550]
            assert PASSWORD not in str(relay.records())
