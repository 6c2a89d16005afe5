"""`[acme]` in the configuration: what listeners make of it, what this host lacks, and what a reload may change."""

from pathlib import Path
from typing import Any

import pytest

from postroad.config.checks.acme import check_acme, check_acme_places, wanted_of
from postroad.config.checks.tls import mode_of, plans_of, tls_rules
from postroad.config.diff import differences, keep_running
from postroad.config.schema import Config
from postroad.model.errors import ConfigError

AGREED = {"agree_tos": True, "bind": ("127.0.0.1:0",)}


def config_of(acme: dict[str, Any] | None, listener: dict[str, Any] | None = None, **more: Any) -> Config:
    return Config.model_validate(
        {
            "hostname": "relay.example.com",
            "listeners": {"mx": {"bind": ("127.0.0.1:2525",), **(listener or {})}},
            **({} if acme is None else {"acme": acme}),
            **more,
        }
    )


def test_listeners_need_no_other_certificate() -> None:
    config = config_of(AGREED)
    assert mode_of(config, config.listeners["mx"]) == "starttls"
    files = config.acme_files
    assert files is not None
    assert plans_of(config)["mx"].pairs == ((files, ()),)
    assert list(tls_rules(config)) == []
    implicit = config_of(AGREED, {"tls": "implicit"})
    assert list(tls_rules(implicit)) == []
    assert [str(one.text) for one in tls_rules(config_of(AGREED, {"tls": "off"}))] == [
        'has no effect on mail: every listener has tls = "off"'
    ]


def test_one_of_tls_goes_before_it() -> None:
    config = config_of(AGREED, tls={"certificate": "/cert.pem", "certificates": ({"certificate": "/other.pem"},)})
    names = [str(files.certificate) for files, _ in plans_of(config)["mx"].pairs]
    assert names == ["/cert.pem", str(config.acme_folder / "certificate.pem"), "/other.pem"]


def test_what_is_wanted(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("c2VjcmV0\n")
    config = config_of({**AGREED, "ca": "ca.pem", "external_account": {"kid": "1", "key": {"file": "key"}}})
    assert config.acme is not None
    found = wanted_of(config.model_copy(update={"acme": config.acme.anchored(tmp_path)}))
    assert (found.names, found.kid, found.secret) == (("relay.example.com",), "1", "c2VjcmV0")
    assert found.ca == str(tmp_path / "ca.pem")
    with pytest.raises(ConfigError, match=r"acme.external_account.key: key cannot be read"):
        wanted_of(config)
    told = [(".".join(map(str, one.path)), one.text) for one in check_acme_places(config)]
    assert told == [
        ("acme.external_account.key", "key cannot be read: No such file or directory"),
        ("acme.ca", '"ca.pem": No such file or directory'),
    ]
    assert list(check_acme(config)) == []


def test_what_a_reload_may_change() -> None:
    old = config_of({**AGREED, "names": ("a.example.com",)})
    new = config_of({"agree_tos": True, "names": ("b.example.com",), "bind": ("127.0.0.2:0",)})
    changes = {change.option: (bool(change.effect), change.refused) for change in differences(old, new)}
    assert changes == {"acme.names": (False, False), "acme.bind": (True, False)}
    kept = keep_running(old, new).acme
    assert kept is not None
    assert (kept.names, kept.bind) == (("b.example.com",), ("127.0.0.1:0",))
    for one, other in ((old, config_of(None)), (config_of(None), old)):
        (change,) = differences(one, other)
        assert change.refused
