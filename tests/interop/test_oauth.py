"""A real relay, real clients and access tokens of a provider over HTTPS: in, out, rotated, and while it is down."""

import base64
import shutil
import smtplib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from tests.support.command import run_command
from tests.support.identityprovider import AUDIENCE, IdentityProvider
from tests.support.relay import CAPTURE, Relay

MESSAGE = b"From: <alice@example.com>\r\nTo: <bob@example.net>\r\nSubject: A test\r\n\r\nbody\r\n"
TEXT = """
[auth]
plain_text_networks = ["127.0.0.0/8"]
failure_delay = "10ms"
cache = "0s"
source_timeout = "30s"

[auth.oauth.company]
issuer = "{issuer}"
audiences = ["{audience}"]
ca = "{ca}"
scopes = ["smtp.send"]
timeout = "20s"
"""


class Site:
    """A relay that knows nobody but by tokens of `provider`."""

    def __init__(self, folder: Path, provider: IdentityProvider) -> None:
        self.provider = provider
        text = TEXT.format(issuer=provider.issuer, audience=AUDIENCE, ca=provider.ca)
        self.relay = Relay(folder / "relay", CAPTURE + text)
        config = self.relay.config
        config.write_text(config.read_text().replace("[listeners.test]", '[listeners.test]\nauth = "required"'))

    def token(self, **claims: Any) -> str:
        return self.provider.sign(**{"scope": "openid smtp.send", **claims})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with IdentityProvider(folder / "provider") as provider:
        site = Site(folder, provider)
        with site.relay:
            yield site
        log = site.relay.log_file.read_text()
        assert "eyJ" not in log  # how every token begins


def login(site: Site, mechanism: str, user: str, token: str) -> tuple[int, bytes]:
    """The last reply of one log-in."""
    if mechanism == "XOAUTH2":
        message = f"user={user}\1auth=Bearer {token}\1\1"
    else:
        message = f"n,a={user},\1host=relay.example.com\1auth=Bearer {token}\1\1"
    with smtplib.SMTP("127.0.0.1", site.relay.port, "client.example.org", timeout=60) as client:
        client.ehlo()
        assert mechanism in client.esmtp_features["auth"].split()
        code, said = client.docmd("AUTH", f"{mechanism} {base64.b64encode(message.encode()).decode()}")
        if code == 334:
            assert b"openid-configuration" in base64.b64decode(said)
            code, said = client.docmd(base64.b64encode(b"\1").decode())
        if code == 235:
            client.sendmail("alice@example.com", ["bob@example.net"], MESSAGE)
        return code, said


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
def test_log_ins_by_token(site: Site, mechanism: str) -> None:
    assert login(site, mechanism, "alice@example.com", site.token())[0] == 235
    assert login(site, mechanism, "alice@example.com", site.token(alg="ES256", kid="ec"))[0] == 235
    assert login(site, mechanism, "bob@example.com", site.token())[0] == 535
    assert login(site, mechanism, "alice@example.com", site.token(exp=1))[0] == 535
    assert login(site, mechanism, "alice@example.com", site.token(aud="else"))[0] == 535
    assert login(site, mechanism, "alice@example.com", site.token(scope="openid"))[0] == 535
    assert login(site, mechanism, "alice@example.com", site.token(key=RSAKey.generate_key(2048)))[0] == 535
    assert login(site, mechanism, "alice@example.com", "no-token")[0] == 535
    (proved, *_) = site.relay.wait_for("Authenticated", mechanism=mechanism)
    assert (proved["login"], proved["source"]) == ("alice@example.com", "company")
    reasons = {entry["reason"] for entry in site.relay.wait_for("AuthFailed", 6)}
    assert {"the token has expired", "the token is for another audience"} <= reasons


@pytest.mark.parametrize("login_options", ["AUTH=XOAUTH2", "AUTH=OAUTHBEARER"])
def test_curl_logs_in(site: Site, tmp_path: Path, login_options: str) -> None:
    curl = shutil.which("curl")
    assert curl is not None, "install the Debian package curl"
    (tmp_path / "mail").write_bytes(MESSAGE)

    def send(token: str) -> int:
        command = [curl, "--silent", "--url", f"smtp://127.0.0.1:{site.relay.port}/client.example.org"]
        command += ["--mail-from", "alice@example.com", "--mail-rcpt", "bob@example.net", "-T", str(tmp_path / "mail")]
        command += ["--user", "alice@example.com", "--oauth2-bearer", token, "--login-options", login_options]
        return subprocess.run(command, timeout=60, check=False).returncode

    assert send(site.token()) == 0
    assert send(site.token(exp=1)) == 67  # CURLE_LOGIN_DENIED


def test_a_configuration_with_tokens_is_checked_without_asking_anybody(site: Site) -> None:
    before = len(site.provider.asked)
    done = run_command("check", "-c", site.relay.config)
    assert done.code == 0
    assert len(site.provider.asked) == before


def test_a_provider_that_never_answered_is_no_no(tmp_path: Path) -> None:
    provider = IdentityProvider(tmp_path / "provider")
    provider.close()
    site = Site(tmp_path, provider)
    with site.relay:
        code, said = login(site, "XOAUTH2", "alice@example.com", site.token())
        assert (code, said.split()[0]) == (454, b"4.7.0")
        (failed,) = site.relay.wait_for("AuthFailed")
        assert "cannot connect" in failed["reason"]
