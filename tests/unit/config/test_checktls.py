"""TLS in the configuration: how listeners come by it, doubts, and what lies in the files."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from postroad.config.checks.tls import check_tls_files, mode_of, plans_of, tls_rules
from postroad.config.problem import Problem, Warned, path_text
from postroad.config.schema import Config
from postroad.net.clock import SystemClock
from tests.support.authority import Authority, Issued

DAY = timedelta(days=1)


def config_of(tls: dict[str, Any], listener: dict[str, Any]) -> Config:
    return Config.model_validate(
        {
            "hostname": "relay.example.com",
            "listeners": {"mx": {"bind": ("127.0.0.1:2525",), **listener}},
            "tls": tls,
        }
    )


def shown(problems: list[Problem]) -> list[str]:
    return [f"{'?' if isinstance(one, Warned) else '!'} {path_text(one.path)}: {one.text}" for one in problems]


CERTIFICATE = {"certificate": "/cert.pem", "key": "/key.pem"}


@pytest.mark.parametrize(
    ("tls", "listener", "mode"),
    [
        ({}, {}, "off"),
        (CERTIFICATE, {}, "starttls"),
        ({}, {"certificate": "/own.pem"}, "starttls"),
        (CERTIFICATE, {"tls": "off"}, "off"),
        (CERTIFICATE, {"tls": "required"}, "required"),
        (CERTIFICATE, {"tls": "implicit"}, "implicit"),
    ],
)
def test_how_a_listener_comes_by_tls(tls: dict[str, Any], listener: dict[str, Any], mode: str) -> None:
    config = config_of(tls, listener)
    assert mode_of(config, config.listeners["mx"]) == mode
    assert set(plans_of(config)) == (set() if mode == "off" else {"mx"})


@pytest.mark.parametrize(
    ("tls", "listener", "told"),
    [
        (CERTIFICATE, {"tls": "off"}, '? tls.certificate: has no effect: every listener has tls = "off"'),
        (CERTIFICATE, {"client_ca": "/ca"}, "? listeners.mx.client_ca: has no effect without client_certificates"),
        ({}, {"legacy_tls": True}, "? listeners.mx.legacy_tls: has no effect: this listener has no TLS"),
        (CERTIFICATE, {"bind": ("[::1]:465",)}, '? listeners.mx.bind[0]: "[::1]:465": clients expect tls = "implicit"'),
        (
            CERTIFICATE,
            {"bind": ("127.0.0.1:25",), "tls": "implicit"},
            '? listeners.mx.bind[0]: "127.0.0.1:25": clients begin without TLS',
        ),
    ],
)
def test_doubts(tls: dict[str, Any], listener: dict[str, Any], told: str) -> None:
    (doubt,) = shown(list(tls_rules(config_of(tls, listener))))
    assert doubt.startswith(told)


def found(own: Issued, **listener: Any) -> list[str]:
    tls = {"certificate": str(own.certificate), "key": str(own.key)}
    return shown(list(check_tls_files(config_of(tls, listener), SystemClock().now())))


def test_sound_files_say_nothing(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own = authority.issue("own", ["relay.example.com"])
    assert found(own, client_certificates="request", client_ca=str(authority.file)) == []
    both = tmp_path / "both.pem"
    both.touch(0o600)
    both.write_bytes(own.certificate.read_bytes() + own.key.read_bytes())
    assert found(Issued(both, both)) == []


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own, other = authority.issue("own"), authority.issue("other")
    locked = authority.issue("locked", password=b"secret")
    missing = tmp_path / "missing"
    for pair, told in (
        (
            Issued(own.certificate, other.key),
            f"{other.key}, for {own.certificate}: the key is that of another certificate",
        ),
        (locked, f"{locked.key}: the key is encrypted; store it without a passphrase, readable by the server alone"),
        (Issued(missing, own.key), f"{missing} cannot be read: No such file or directory"),
        (Issued(own.certificate, missing), f"{missing} cannot be read: No such file or directory"),
        (Issued(own.key, own.key), f"{own.key}: has no certificate in PEM form"),
        (Issued(own.certificate, own.certificate), f"{own.certificate}: has no private key in PEM form"),
    ):
        assert f"! tls.certificate: {told}" in found(pair)


def test_broken_octets_between_the_marks(tmp_path: Path) -> None:
    own = Authority(tmp_path).issue("own")
    own.certificate.write_bytes(own.certificate.read_bytes().replace(b"MII", b"AAA"))
    (told,) = found(own)
    assert told.startswith(f"! tls.certificate: {own.certificate}: the certificate cannot be read")
    own = Authority(tmp_path).issue("own")
    own.key.write_bytes(own.key.read_bytes().replace(b"MI", b"AA"))
    (told,) = found(own)
    assert told.startswith(f"! tls.certificate: {own.key}, for {own.certificate}: cannot be used")


def test_times_and_rights_are_doubts(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    for life, words in (
        (-DAY, "has expired; clients"),
        (1.5 * DAY, "expires in 1 day"),
        (5.5 * DAY, "expires in 5 days"),
    ):
        own = authority.issue("own", life=life)
        (told,) = found(own)
        assert told.startswith(f'? tls.certificate: "{own.certificate}": {words}')
    own = authority.issue("open")
    own.key.chmod(0o644)
    assert found(own) == [f'? tls.certificate: "{own.key}": everybody can read the key; chmod 640, or 600']


@pytest.mark.parametrize("shut", ["folder", "file"])
def test_what_we_may_not_read_is_not_checked(tmp_path: Path, shut: str) -> None:
    own = Authority(tmp_path / "tls").issue("own")
    (own.key.parent if shut == "folder" else own.key).chmod(0)
    child = os.fork()  # a child gives its privileges up, so that root can run this test as well
    if child == 0:
        code = 1
        try:
            if os.getuid() == 0:
                os.setuid(65534)
            (told,) = found(own)
            code = 0 if told.startswith("? ") and "cannot be read by who runs this" in told else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    own.key.parent.chmod(0o700)


def test_client_authorities(tmp_path: Path) -> None:
    own = Authority(tmp_path).issue("own")
    empty = tmp_path / "empty"
    empty.touch()
    (told,) = found(own, client_certificates="require", client_ca=str(empty))
    assert told == f"! listeners.mx.client_ca: {empty}: has no certificate in PEM form, or one that cannot be read"
