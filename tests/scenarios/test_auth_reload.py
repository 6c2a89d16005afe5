"""A real relay that begins to ask for log-ins, and ends it, while sessions run; in one process and in several."""

import smtplib
from pathlib import Path

import pytest

from tests.scenarios.test_reload import edit, hang_up, send
from tests.support.logins import argon2_line, write_lines
from tests.support.processes import MakeRelay
from tests.support.relay import Relay, wait_until

AUTH = """
[auth]
plain_text_networks = ["127.0.0.0/8"]
failure_delay = "0s"
mechanisms = ["PLAIN"]
[auth.users]
file = "users"

[access]"""
REQUIRED = '[listeners.test]\nauth = "required"\n'


def connect(relay: Relay) -> smtplib.SMTP:
    client = smtplib.SMTP("127.0.0.1", relay.port, timeout=60)
    client.ehlo()
    return client


def test_log_ins_come_and_go_with_reloads(tmp_path: Path, make_relay: MakeRelay) -> None:
    users = write_lines(tmp_path / "users", [argon2_line("alice", "one")])
    with make_relay(tmp_path) as relay, connect(relay) as before:
        users.chmod(0o644)
        edit(relay, "[access]", AUTH.lstrip())
        edit(relay, "[listeners.test]\n", REQUIRED)
        hang_up(relay)
        wait_until(lambda: relay.records("ConfigRefused"), "a refusal")
        (refused,) = relay.records("ConfigRefused")
        assert "chmod 640" in refused["problems"][0]
        with connect(relay) as client:
            assert not client.has_extn("auth")

        users.chmod(0o600)
        hang_up(relay)
        wait_until(lambda: relay.records("ConfigReloaded"), "a reload")
        with connect(relay) as client:
            assert client.esmtp_features["auth"].strip() == "PLAIN"
            with pytest.raises(smtplib.SMTPSenderRefused, match="530"):
                send(client, "refused")
            client.login("alice", "one")
            send(client, "logged-in")
        send(before, "began-before")  # a session keeps the terms that it began with

        edit(relay, REQUIRED, "[listeners.test]\n")
        hang_up(relay)
        wait_until(lambda: len(relay.records("ConfigReloaded")) == 2, "a reload")
        with connect(relay) as client:
            assert not client.has_extn("auth")
            send(client, "no-more")
        for marker in (b"logged-in", b"began-before", b"no-more"):
            relay.wait_captured(marker)
