"""From a file to the settings the rest of the program sees."""

from pathlib import Path

import pytest

from postroad.config.load import find_config, inspect_config, load_config
from postroad.model.errors import ConfigError
from postroad.model.option import NEVER
from postroad.net.hostname import host_name

_LEAST = 'listeners.mx.bind = ["127.0.0.1:2525"]\n'


def _file(folder: Path, text: str) -> Path:
    file = folder / "postroad.toml"
    file.write_text(text)
    return file


def test_defaults(tmp_path: Path) -> None:
    config = load_config(_file(tmp_path, _LEAST))
    assert config.hostname == host_name()
    assert config.data_dir == tmp_path / "data"
    assert config.spool_folder == tmp_path / "data" / "spool"
    assert config.capture_folder == tmp_path / "data" / "capture"
    assert config.postmaster == f"postmaster@{host_name()}"
    assert [str(network) for network in config.access.relay_networks] == ["127.0.0.0/8", "::1/128"]
    assert [(route.recipients, route.next_hops) for route in config.routes] == [(("*",), ("mx",))]
    assert config.queue.retry == (60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0)
    assert config.limits.message_size == 50 << 20
    assert config.log.format == "json"


def test_values_are_decoded(tmp_path: Path) -> None:
    text = (
        'hostname = "Relay.Example.COM"\n[queue]\nwarn_after = "never"\nretry = ["1.5h"]\n[spool]\nfree_space = "1GiB"'
    )
    config = load_config(_file(tmp_path, _LEAST + text))
    assert config.hostname == "relay.example.com"
    assert config.queue.warn_after == NEVER
    assert config.queue.retry == (5400.0,)
    assert config.spool.free_space == 1 << 30


@pytest.mark.parametrize(
    ("domains", "postmaster"),
    [
        ('["example.com", "example.org"]', "postmaster@example.com"),
        ('["*.example.net", "Example.ORG"]', "postmaster@example.org"),
        ('["*.example.net"]', "postmaster@relay.example.com"),
    ],
)
def test_postmaster_follows_the_relay_domains(tmp_path: Path, domains: str, postmaster: str) -> None:
    text = f'hostname = "relay.example.com"\n{_LEAST}\n[access]\nrelay_domains = {domains}'
    assert load_config(_file(tmp_path, text)).postmaster == postmaster


@pytest.mark.parametrize(
    ("given", "folder"), [("/srv/mail", "/srv/mail"), ("mail", "{}/mail"), ("../mail", "{}/../mail")]
)
def test_data_dir_begins_at_the_file(tmp_path: Path, given: str, folder: str) -> None:
    config = load_config(_file(tmp_path, f'data_dir = "{given}"\n{_LEAST}'))
    assert str(config.data_dir) == folder.format(tmp_path)


def test_the_configuration_is_frozen(tmp_path: Path) -> None:
    config = load_config(_file(tmp_path, _LEAST))
    with pytest.raises(ValueError, match="frozen"):
        config.hostname = "other.example.com"  # type: ignore[misc]  # that it fails is the point


def test_problems_come_in_the_order_of_files_and_lines(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "a.toml").write_text('hostname = "a"\n[log]\nformat = "xml"\n')
    file = _file(tmp_path, f'{_LEAST}hostname = "a_b"\n[limits]\nhops = 1\n[foo]\n')
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    places = [problem.removeprefix(f"{tmp_path}/").split(": ")[0] for problem in caught.value.problems]
    assert places == ["postroad.toml:2", "postroad.toml:2", "postroad.toml:4", "postroad.toml:5", "conf.d/a.toml:3"]


def test_warnings_do_not_stop_it(tmp_path: Path) -> None:
    loaded = inspect_config(
        _file(
            tmp_path,
            f'hostname = "relay.example.com"\n{_LEAST}[[routes]]\nrecipients = ["example.com"]\nnext_hops = ["mx"]\n',
        )
    )
    assert loaded.config is not None
    assert [line.partition(": ")[2] for line in loaded.lines(loaded.warnings)] == [
        'routes: no route takes all mail: what matches none waits until it expires; end with recipients = ["*"]'
    ]


def test_a_mistake_does_not_hide_a_contradiction_elsewhere(tmp_path: Path) -> None:
    text = f'{_LEAST}[queue]\nwindow = "x"\nexpire_after = "4d"\nwarn_after = "5d"\n'
    loaded = inspect_config(_file(tmp_path, text))
    assert [problem.path[-1] for problem in loaded.problems] == ["window", "warn_after"]


def test_default_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="no configuration: neither postroad.toml nor /etc/postroad/postroad.toml"):
        find_config(None)
    _file(tmp_path, _LEAST)
    assert find_config(None) == Path("postroad.toml")
    assert find_config(Path("other.toml")) == Path("other.toml")
    assert load_config(find_config(None)).data_dir == tmp_path / "data"
