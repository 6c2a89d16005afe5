"""Log-ins by a directory and by a service, from outside: a running Postroad and two real slapds, which die."""

import json
import os
import signal
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.loginservice import LoginService
from tests.support.ports import free_port
from tests.support.processes import MakeRelay
from tests.support.relay import CAPTURE, Relay, wait_until
from tests.support.slapd import READER, READER_PASSWORD, SUFFIX, Slapd, folder_of, group, user

PASSWORD = "the canary: a password"
OTHER = "the canary: another password"
OURS = "the canary: our secret"
ALICE = {"userPrincipalName": "alice@corp.example.com", "mail": "alice@example.com", "sAMAccountName": "alice"}
LDIF = (
    folder_of("users")
    + folder_of("groups")
    + user("alice", password=PASSWORD, attributes=ALICE)
    + group("staff", f"cn=alice,cn=users,{SUFFIX}")
)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Slapd, Slapd]]:
    with Slapd(LDIF) as first, Slapd(LDIF) as second:
        yield first, second


def options(servers: tuple[Slapd, Slapd], ca: Path, service: LoginService) -> str:
    return f"""
[directories.ad]
servers = {json.dumps([server.url for server in servers])}
ca = "{ca}"
bind_dn = "{READER}"
bind_password = "{READER_PASSWORD}"
timeout = "30s"

[auth]
cache = "0s"
failure_delay = "0s"
source_timeout = "60s"
plain_text_networks = ["127.0.0.0/8"]

[auth.ldap.corp]
directory = "ad"
base = "{SUFFIX}"
groups = "nested"

[auth.http.ours]
url = "{service.url}"
secret = "{OURS}"
timeout = "30s"
"""


def log_in(relay: Relay, login: str, password: str) -> int:
    """The code of the reply to AUTH PLAIN."""
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as client:
        client.ehlo()
        client.user, client.password = login, password
        try:
            return client.auth("PLAIN", client.auth_plain)[0]
        except smtplib.SMTPAuthenticationError as error:
            return error.smtp_code


def test_log_ins_while_servers_die(make_relay: MakeRelay, servers: tuple[Slapd, Slapd], tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_text("".join(server.ca.read_text() for server in servers))
    with LoginService({"bob": OTHER}, OURS) as service:
        relay = make_relay(tmp_path / "relay", CAPTURE + options(servers, both, service))
        text = relay.config.read_text()
        relay.config.write_text(text.replace("\n[access]", 'auth = "optional"\n\n[access]', 1))
        with relay:
            assert log_in(relay, "alice", PASSWORD) == 235
            assert log_in(relay, "Alice@Example.com", PASSWORD) == 235
            assert log_in(relay, "alice", "wrong") == 535
            assert log_in(relay, "alice)(cn=*", PASSWORD) == 535
            assert log_in(relay, "bob", OTHER) == 235
            assert log_in(relay, "bob", "wrong") == 535
            assert log_in(relay, "nobody", PASSWORD) == 535
            names = {(one["login"], one["source"]) for one in relay.wait_for("Authenticated", 3)}
            assert names == {("alice@corp.example.com", "corp"), ("bob@example.com", "ours")}

            servers[0].kill()
            assert log_in(relay, "alice", PASSWORD) == 235
            assert relay.wait_for("DirectoryFaulted")[0]["directory"] == "ad"
            servers[1].kill()
            for login, password in (("alice", PASSWORD), ("alice", "wrong"), ("bob", OTHER)):
                assert log_in(relay, login, password) == 454
            said = check(relay)
            for server in servers:
                assert f'directories.ad.servers[{servers.index(server)}]: "{server.url}": connection refused' in said

            for server in servers:
                server.start()
            wait_until(lambda: log_in(relay, "alice", PASSWORD) == 235, "a log-in after the servers are back", 60)
            assert check(relay) == ""
        log = relay.log_file.read_text()
        assert "the canary" not in log
        assert READER_PASSWORD not in log
        assert "Traceback" not in log


def test_a_reload_takes_new_servers_and_a_password_that_is_new_in_its_file(
    make_relay: MakeRelay, servers: tuple[Slapd, Slapd], tmp_path: Path
) -> None:
    server = servers[0]
    file = tmp_path / "reader.password"
    file.write_text("an old one\n")
    with LoginService({}, OURS) as service:
        more = options((server, server), server.ca, service).replace(f'"{READER_PASSWORD}"', f'{{ file = "{file}" }}')
        more = more.replace(json.dumps([server.url] * 2), json.dumps([server.url]))
        relay = make_relay(tmp_path / "relay", CAPTURE + more)
        good = relay.config.read_text().replace("\n[access]", 'auth = "optional"\n\n[access]', 1)
        relay.config.write_text(good)
        with relay:
            assert log_in(relay, "alice", PASSWORD) == 454
            file.write_text(f"{READER_PASSWORD}\n")
            reload(relay, 1)
            wait_until(lambda: log_in(relay, "alice", PASSWORD) == 235, "a log-in with the new password of ours", 60)
            relay.config.write_text(good.replace(server.url, f"ldap://localhost:{free_port()}"))
            reload(relay, 2)
            wait_until(lambda: log_in(relay, "alice", PASSWORD) == 454, "the new server to be asked, which is none", 60)
            relay.config.write_text(good)
            reload(relay, 3)
            wait_until(lambda: log_in(relay, "alice", PASSWORD) == 235, "the old server to be asked again", 60)


def reload(relay: Relay, count: int) -> None:
    os.kill(relay.pid, signal.SIGHUP)
    relay.wait_for("ConfigReloaded", count, 60)


def check(relay: Relay) -> str:
    """What `postroad check` complains of."""
    command = [sys.executable, "-m", "postroad", "check", "-c", str(relay.config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stderr
