"""What is doubted and refused about the API: addresses that others reach, keys and templates that cannot be read."""

from pathlib import Path

import pytest

from postroad.api.keys import KeyRing
from postroad.config.checks.api import check_api
from postroad.config.checks.apihost import check_api_places, key_ring, read_templates
from postroad.config.diff import differences, keep_running
from postroad.config.load import inspect_config, load_config
from postroad.config.problem import Warned
from postroad.config.schema import Config
from postroad.model.errors import ConfigError

KEY = "0123456789abcdefghijklmnopqrstuvwxyz"
BASE = 'hostname = "relay.example.com"\nlisteners.mx.bind = ["127.0.0.1:2525"]\n'


def config(folder: Path, text: str) -> Config:
    file = folder / "postroad.toml"
    file.write_text(BASE + text)
    return load_config(file)


def key(value: str, more: str = "") -> str:
    return f'\n[api.keys.one]\nkey = {value}\nsenders = ["*"]\n{more}'


@pytest.mark.parametrize("address", ["0.0.0.0", "192.0.2.1", "[::]", "[2001:db8::1]"])
def test_an_address_that_others_can_reach_is_doubted(tmp_path: Path, address: str) -> None:
    found = list(check_api(config(tmp_path, f'[api]\nbind = ["{address}:8026"]{key(repr(KEY))}')))
    assert [type(one) for one in found] == [Warned]
    assert "in the clear" in found[0].text


@pytest.mark.parametrize("address", ["127.0.0.1", "127.3.2.1", "[::1]"])
def test_the_loopback_is_not(tmp_path: Path, address: str) -> None:
    assert list(check_api(config(tmp_path, f'[api]\nbind = ["{address}:8026"]{key(repr(KEY))}'))) == []


def test_an_api_without_keys_is_doubted_and_has_no_owner(tmp_path: Path) -> None:
    found = config(tmp_path, "[api]\n")
    assert [type(one) for one in check_api(found)] == [Warned]
    assert key_ring(found).owner("") is None


def test_without_a_section_there_is_nothing(tmp_path: Path) -> None:
    found = config(tmp_path, "")
    assert list(check_api(found)) == list(check_api_places(found)) == []
    assert isinstance(key_ring(found), KeyRing)


def test_keys_are_read_where_they_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    value = f'{{ file = "{tmp_path}/key" }}'
    scope = key_ring(config(tmp_path, f"[api]{key(value)}")).owner(KEY)
    assert scope is not None
    assert scope.name == "one"
    monkeypatch.setenv("A_KEY", KEY)
    value = '{ env = "A_KEY" }'
    assert key_ring(config(tmp_path, f"[api]{key(value)}")).owner(KEY) is not None


def test_what_cannot_be_read_is_told_and_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "too-short-a-secret")
    monkeypatch.delenv("NO_KEY", raising=False)
    for value, words in (('{ env = "A_KEY" }', "a key is"), ('{ env = "NO_KEY" }', "has no NO_KEY")):
        found = config(tmp_path, f"[api]{key(value)}")
        (problem,) = check_api_places(found)
        assert words in problem.text
        assert "too-short-a-secret" not in problem.text
        with pytest.raises(ConfigError, match=words):
            key_ring(found)
    same = f'[api]{key(repr(KEY))}[api.keys.two]\nkey = {{ env = "A_KEY" }}\nsenders = ["*"]\n'
    monkeypatch.setenv("A_KEY", KEY)
    with pytest.raises(ConfigError, match="it is the key of one, too"):
        key_ring(config(tmp_path, same))


def test_templates_are_read_and_their_mistakes_told(tmp_path: Path) -> None:
    folder = tmp_path / "mail"
    text = '[api]\ntemplates = "mail"\n'
    (problem,) = check_api_places(config(tmp_path, text))
    assert "is not a folder" in problem.text
    folder.mkdir()
    (folder / "a.text").write_text("{{ b }}")
    (folder / "readme.md").write_text("{% what")
    (folder / ".a.html").write_text("{% what")
    assert read_templates(config(tmp_path, text)).flaws == ()
    (folder / "a.html").write_text("\n{% what %}")
    (problem,) = check_api_places(config(tmp_path, text))
    assert "a.html:2: " in problem.text
    (folder / "a.html").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_templates(config(tmp_path, text))


def test_a_reload_changes_all_but_the_ports(tmp_path: Path) -> None:
    old = config(tmp_path, f"[api]\nconnections = 5{key(repr(KEY))}")
    new = config(tmp_path, f'[api]\nbind = ["127.0.0.1:9"]\nrequests = 5{key(repr(KEY), "read = false")}')
    effects = {change.option: bool(change.effect) for change in differences(old, new)}
    assert effects == {
        "api.bind": True,
        "api.connections": True,
        "api.requests": False,
        "api.keys.one.read": False,
    }
    kept = keep_running(old, new).api
    assert kept is not None
    assert (kept.bind, kept.connections, kept.requests) == (("127.0.0.1:8026",), 5, 5)
    none = config(tmp_path, "")
    assert keep_running(none, new).api is None
    assert keep_running(new, none).api == new.api
    assert all(change.effect for change in differences(none, new))


def test_a_missing_secret_is_told_beside_other_mistakes(tmp_path: Path) -> None:
    file = tmp_path / "postroad.toml"
    file.write_text(f"{BASE}[api]\nrequests = 0{key(repr(KEY))}")
    assert len(inspect_config(file).problems) == 1
