"""Limits of `[[rates]]` in a real server: over all its edges, in the API, through kills, reloads and restarts."""

import contextlib
import json
import smtplib
import socket
from itertools import count
from pathlib import Path

import pytest

from tests.support.apiclient import api_relay, mail, refused, taken
from tests.support.command import run_command
from tests.support.logins import argon2_line, write_lines
from tests.support.processes import Processes
from tests.support.redis import PASSWORD, RedisServer
from tests.support.relay import CAPTURE, Relay, wait_until

HOURLY = '\n[[rates]]\nname = "hourly"\nper = "sender"\nlimits = ["{}/1h"]\n'
MESSAGE = "Subject: x\r\n\r\nhello\r\n"


def send(port: int, *recipients: str, sender: str = "bob@example.com") -> list[int]:
    """The codes of the recipients; those that are taken get a message."""
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        client.ehlo()
        code, _ = client.mail(sender)
        if code != 250:
            return [code]
        codes = [client.rcpt(recipient)[0] for recipient in recipients]
        if 250 in codes:
            codes.append(client.data(MESSAGE)[0])
        return codes


def shown(relay: Relay, *more: str) -> dict[str, tuple[int, int]]:
    """What `postroad rates` says is used of how much, by account."""
    done = run_command("rates", "-c", relay.config, "--json", *more)
    assert done.code in (0, 66), done.err
    rows = [json.loads(line) for line in done.out.splitlines()]
    return {row["account"]: (row["used"], row["count"]) for row in rows}


def test_edges_share_one_limit_exactly_and_none_that_dies_takes_it_along(tmp_path: Path) -> None:
    with Processes(tmp_path, CAPTURE + HOURLY.format(20), edges=2) as relay:
        codes = [send(relay.port, "a@example.net")[0] for _ in range(12)]
        assert codes == [250] * 12
        relay.hurt_and_wait("edge-1")
        relay.hurt_and_wait("edge-2")
        codes = [send(relay.port, "a@example.net")[0] for _ in range(10)]
        assert codes == [250] * 8 + [450] * 2
        relay.hurt_and_wait("courier")
        wait_until(lambda: shown(relay) == {"bob@example.com": (20, 20)}, "the courier to tell what edges counted")
        (refusal, *_) = relay.records("CommandRefused", stage="rcpt")
        assert refusal["detail"].startswith(
            "rate hourly: 20/1h recipients for sender bob@example.com, 20 used; room again"
        )
        assert len(relay.records("RateReached", rate="hourly", account="bob@example.com", action="defer")) == 1
        assert relay.stop() == 0
        relay.start()  # what was used up an hour's limit is known after a restart
        assert send(relay.port, "a@example.net") == [450]
        assert send(relay.port, "a@example.net", sender="eve@example.com") == [250, 250]


def test_connections_at_once_are_counted_over_edges(tmp_path: Path) -> None:
    rates = '\n[[rates]]\nname = "few"\ncount = "connections"\nper = "prefix"\nlimits = ["3"]\n'
    with Processes(tmp_path, CAPTURE + rates, edges=2) as relay, contextlib.ExitStack() as stack:
        closed = len(relay.wait_for("ConnectionClosed"))  # the probe of the start
        peers = [socket.create_connection(("127.0.0.1", relay.port), timeout=30) for _ in range(9)]
        for peer in peers:
            stack.callback(peer.close)
        said = [peer.recv(512)[:3] for peer in peers]
        assert sorted(said) == [b"220"] * 3 + [b"421"] * 6
        for peer in peers:
            peer.close()
        relay.wait_for("ConnectionClosed", closed + 9)
        assert send(relay.port, "a@example.net") == [250, 250]


def test_usage_is_shown_and_begun_anew_by_an_operator(tmp_path: Path) -> None:
    held = '\n[[rates]]\nname = "octets"\ncount = "bytes"\nlimits = ["1KiB/day"]\nthen = "hold"\n'
    with Relay(tmp_path, CAPTURE + HOURLY.format(2) + held) as relay:
        assert send(relay.port, "a@example.net", "b@example.net", "c@example.net") == [250, 250, 450, 250]
        assert send(relay.port, "a@example.net", sender="eve@example.com") == [250, 250]
        assert shown(relay, "--rate", "hourly") == {"bob@example.com": (2, 2), "eve@example.com": (1, 2)}
        assert list(shown(relay, "--most", "1")) == ["bob@example.com"]
        text = run_command("rates", "-c", relay.config).out.splitlines()
        assert text[0].split() == [
            "100%",
            "##########",
            "2/2",
            "recipients",
            "in",
            "1h",
            "hourly",
            "sender",
            "bob@example.com",
        ]
        assert text[-1].endswith("bytes in day  octets  all")
        assert shown(relay, "--login", "bob@example.com") == {}  # no rate has accounts of logins
        assert run_command("rates", "-c", relay.config, "--reset").code == 64
        done = run_command(
            "rates", "-c", relay.config, "--reset", "--account", "Bob@Example.com", "--because", "was agreed on"
        )
        assert (done.code, done.out) == (0, "1 account begun anew\n")
        (acted,) = relay.wait_for("OperatorActed", action="reset")
        assert acted["selection"] == "rates account Bob@Example.com: 1 accounts"
        assert acted["reason"] == "was agreed on"
        assert send(relay.port, "a@example.net") == [250, 250]


def test_accounts_outlive_a_reload_and_new_limits_hold_at_once(tmp_path: Path) -> None:
    with Relay(tmp_path, CAPTURE + HOURLY.format(2)) as relay:
        assert send(relay.port, "a@example.net", "b@example.net", "c@example.net") == [250, 250, 450, 250]
        relay.config.write_text(relay.config.read_text().replace("2/1h", "3/1h"))
        assert run_command("reload", "-c", relay.config).code == 0
        assert send(relay.port, "a@example.net", "b@example.net") == [250, 450, 250]
        relay.config.write_text(relay.config.read_text().partition("\n[[rates]]")[0])
        assert run_command("reload", "-c", relay.config).code == 0
        assert send(relay.port, "a@example.net", "b@example.net") == [250, 250, 250]


def test_mail_over_a_limit_may_be_held(tmp_path: Path) -> None:
    with Relay(tmp_path, CAPTURE + HOURLY.format(1) + 'then = "hold"\n') as relay:
        assert send(relay.port, "a@example.net") == [250, 250]
        assert send(relay.port, "b@example.net") == [250, 250]
        (adjusted,) = relay.wait_for("MessageAdjusted")
        assert adjusted["held"].startswith("rate hourly: 1/1h recipients for sender bob@example.com, 1 used")


def test_the_api_has_limits_too(tmp_path: Path) -> None:
    rates = '\n[[rates]]\nname = "key"\nper = "login"\nlimits = ["2/1h"]\n'
    relay, client = api_relay(tmp_path, CAPTURE + rates)
    with relay:
        taken(client.post(mail()))
        taken(client.post(mail()))
        refused(client.post(mail()), 503)
        key = next(iter(shown(relay)))
        assert shown(relay, "--login", key) == {key: (2, 2)}


def test_nodes_share_a_limit_and_go_on_without_the_server(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as redis, contextlib.ExitStack() as stack:
        counting = f'\n[counting]\nredis = "{redis.url}"\npassword = "{PASSWORD}"\ntimeout = "10s"\nretry = "1s"\n'
        more = CAPTURE + HOURLY.format(6) + counting
        one, two = (stack.enter_context(Relay(tmp_path / name, more)) for name in ("one", "two"))
        codes = [send(relay.port, "a@example.net")[0] for relay in (one, two) * 4]
        assert codes == [250] * 6 + [450] * 2
        assert shown(one) == shown(two) == {"bob@example.com": (6, 6)}
        assert run_command("rates", "-c", one.config, "--reset", "--rate", "hourly").code == 0
        assert [send(relay.port, "a@example.net")[0] for relay in (two, one)] == [250, 250]
        redis.kill()
        # Each goes on by what it counted itself: one begun anew, two not.
        assert send(one.port, "a@example.net") == [250, 250]
        one.wait_for("CountsLost")
        assert send(two.port, "a@example.net") == [250, 250]
        assert shown(one) == {"bob@example.com": (2, 6)}
        redis.start()
        senders = (f"{number}@example.com" for number in count())

        def is_found() -> bool:
            assert send(one.port, "a@example.net", sender=next(senders)) == [250, 250]
            return bool(one.records("CountsFound"))

        wait_until(is_found, "redis to be found")


def test_logins_have_accounts_that_edges_keep_through_a_reload(tmp_path: Path) -> None:
    users = write_lines(tmp_path / "users", [argon2_line("bob", "secret"), argon2_line("eve", "secret")])
    rates = '\n[[rates]]\nname = "login"\nper = "login"\nlimits = ["2/1h"]\n'
    wrong = '\n[[rates]]\nname = "wrong"\ncount = "errors"\nper = "ip"\nlimits = ["2/1h"]\n'
    auth = f'\n[auth]\nplain_text_networks = ["127.0.0.0/8"]\nfailure_delay = "0s"\nusers.file = "{users}"\n'

    def log_in(name: str) -> smtplib.SMTP:
        client = smtplib.SMTP("127.0.0.1", relay.port, timeout=30)
        client.login(name, "secret")
        return client

    def codes(name: str, count: int) -> list[int]:
        with log_in(name) as client:
            client.mail("any@example.com")
            found = [client.rcpt(f"a{number}@example.net")[0] for number in range(count)]
            client.data(MESSAGE)
            return found

    relay = Processes(tmp_path, CAPTURE + auth + rates + wrong, edges=2)
    relay.config.write_text(relay.config.read_text().replace("[listeners.test]", '[listeners.test]\nauth = "optional"'))
    with relay:
        assert codes("bob", 1) == [250]
        relay.config.write_text(relay.config.read_text().replace("[process]", "[queue]\nconcurrency = 7\n\n[process]"))
        assert run_command("reload", "-c", relay.config).code == 0
        assert codes("Bob", 2) == [250, 450]
        assert codes("eve", 1) == [250]
        assert shown(relay, "--login", "bob") == {"bob": (2, 2)}
        for _ in range(2):
            with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
                client.ehlo()
                assert client.docmd("AUTH", "PLAIN AGJvYgB3cm9uZw==")[0] == 535
        with pytest.raises(smtplib.SMTPConnectError, match="Too many errors lately"):
            log_in("bob")
        (refusal,) = relay.wait_for("CommandRefused", stage="connect")
        assert refusal["detail"].startswith("rate wrong: 2/1h errors for ip 127.0.0.1, 2 used; room again in")
        assert run_command("rates", "-c", relay.config, "--rate", "wrong", "--reset").out == "1 account begun anew\n"
        log_in("bob").quit()
