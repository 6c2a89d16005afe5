"""Sinks as the configuration has them: files beside it, secrets that can be read, doubts."""

from pathlib import Path

import pytest

from postroad.config.checks.sinks import check_sink_places, sink_secrets
from postroad.config.load import inspect_config, load_config
from postroad.config.problem import Warned, path_text
from postroad.config.schema import Config
from postroad.model.errors import ConfigError

HEAD = 'hostname = "relay.example.com"\n[listeners.mx]\nbind = ["127.0.0.1:2525"]\n'


def load(folder: Path, text: str) -> Config:
    file = folder / "postroad.toml"
    file.write_text(HEAD + text)
    return load_config(file)


def found(config: Config) -> list[str]:
    return [
        f"{'doubt' if isinstance(problem, Warned) else 'problem'}: {path_text(problem.path)}: {problem.text}"
        for problem in check_sink_places(config)
    ]


def test_files_are_beside_the_configuration(tmp_path: Path) -> None:
    config = load(tmp_path, '[sinks.a]\nto = "file:a.jsonl"\n[sinks.b]\nto = "https://h/"\nca = "ca.pem"\n')
    assert config.sinks["a"].destination.path == str(tmp_path / "a.jsonl")
    assert config.sinks["b"].ca_file == str(tmp_path / "ca.pem")
    assert found(config) == []


def test_a_folder_that_is_not_there_is_a_doubt(tmp_path: Path) -> None:
    config = load(tmp_path, '[sinks.a]\nto = "file:none/a.jsonl"\n')
    assert found(config) == [
        f'doubt: sinks.a.to: "file:{tmp_path}/none/a.jsonl": there is no such folder; records will wait for it'
    ]


def test_secrets_are_read_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "hook.key"
    config = load(
        tmp_path,
        f'[sinks.a]\nto = "https://h/"\nsecret = {{ file = "{secret}" }}\n'
        '[sinks.b]\nto = "https://h/"\nsecret = { env = "HOOK_KEY" }\n'
        '[sinks.c]\nto = "https://h/"\n',
    )
    monkeypatch.delenv("HOOK_KEY", raising=False)
    assert found(config) == [
        f"problem: sinks.a.secret: {secret} cannot be read: No such file or directory",
        "problem: sinks.b.secret: the environment has no HOOK_KEY",
    ]
    with pytest.raises(ConfigError):
        sink_secrets(config)
    secret.write_text("one\n")
    monkeypatch.setenv("HOOK_KEY", "whsec_geheim!")
    assert found(config) == ['problem: sinks.b.secret: what follows "whsec_" is not base64']
    monkeypatch.setenv("HOOK_KEY", "two")
    assert found(config) == []
    assert sink_secrets(config) == {"a": "one", "b": "two"}


def test_records_in_the_clear_are_a_doubt(tmp_path: Path) -> None:
    file = tmp_path / "postroad.toml"
    file.write_text(f'{HEAD}[sinks.far]\nto = "http://hooks.example.com/"\n[sinks.near]\nto = "http://127.0.0.1:1/"\n')
    loaded = inspect_config(file)
    (warning,) = loaded.lines(loaded.warnings)
    assert warning.endswith("addresses of your mail would go in the clear; use https")
