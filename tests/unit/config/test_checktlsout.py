"""`[tls_out]`: files that cannot be used are told before the server starts, and relative ones lie beside the file."""

from pathlib import Path

import pytest

from postroad.config.checks.tlsout import check_tls_out_files
from postroad.config.load import inspect_config
from postroad.config.problem import path_text
from postroad.config.schema import Config
from tests.support.authority import Authority

HEAD = 'hostname = "relay.example.com"\nlisteners.mx.bind = ["127.0.0.1:2525"]\n'


def load(folder: Path, more: str) -> tuple[Config, list[str]]:
    """The configuration, and its warnings."""
    file = folder / "postroad.toml"
    file.write_text(HEAD + more)
    loaded = inspect_config(file)
    assert loaded.config is not None, loaded.problems
    return loaded.config, [problem.text for problem in loaded.warnings]


def test_files_are_read(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.file.rename(tmp_path / "ca.pem")
    authority.revoke("list.crl")
    (tmp_path / "broken.pem").write_text("nonsense")
    rule = '[[tls_out.destinations]]\ndomains = ["{0}"]\nlevel = "verified"\nca = "{1}"\ncrl = "{2}"\n'
    good, _ = load(tmp_path, '[tls_out]\nca = "ca.pem"\n' + rule.format("example.com", "ca.pem", "list.crl"))
    assert good.tls_out.anchors == str(tmp_path / "ca.pem")
    assert list(check_tls_out_files(good)) == []
    text = '[tls_out]\nca = "broken.pem"\n' + rule.format("example.com", "gone.pem", "list.crl")
    text += rule.format("example.net", "ca.pem", "broken.pem")
    bad, _ = load(tmp_path, text)
    paths = {path_text(problem.path) for problem in check_tls_out_files(bad)}
    assert {"tls_out.ca", "tls_out.destinations[0].ca", "tls_out.destinations[1].crl"} <= paths


def test_a_destination_that_another_one_hides_is_told(tmp_path: Path) -> None:
    rule = '[[tls_out.destinations]]\ndomains = ["example.com"]\nlevel = "{0}"\n'
    _, warnings = load(tmp_path, rule.format("required") + rule.format("none"))
    assert any("tls_out.destinations[0] has it, and wins" in text for text in warnings)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("AA" * 32, "aa" * 32),
        (":".join(["0f"] * 32), "0f" * 32),
        ("sha256:" + "00" * 32, "00" * 32),
    ],
)
def test_fingerprints_have_one_form(tmp_path: Path, written: str, kept: str) -> None:
    rule = f'[[tls_out.destinations]]\nhosts = ["192.0.2.1"]\nlevel = "fingerprint"\nfingerprints = ["{written}"]\n'
    config, _ = load(tmp_path, rule)
    assert config.tls_out.destinations[0].fingerprints == (kept,)
