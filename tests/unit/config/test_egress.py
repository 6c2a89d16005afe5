"""Sources as the configuration has them: what they ask of this host, their secrets, and what delivery gets."""

import subprocess
from pathlib import Path

import pytest

from postroad.config.egress import check_egress, egress_of
from postroad.config.load import load_config
from postroad.config.problem import Warned, path_text
from postroad.config.schema import Config
from postroad.delivery.egress import Source
from postroad.model.errors import ConfigError
from postroad.net.proxy import Proxy

HEAD = 'hostname = "relay.example.com"\n[listeners.mx]\nbind = ["127.0.0.1:2525"]\n'


def load(folder: Path, text: str) -> Config:
    file = folder / "postroad.toml"
    file.write_text(HEAD + text)
    return load_config(file)


def found(config: Config) -> list[str]:
    return [
        f"{'doubt' if isinstance(problem, Warned) else 'problem'}: {path_text(problem.path)}: {problem.text}"
        for problem in check_egress(config)
    ]


def certificate(folder: Path, *, password: str = "") -> None:
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-days", "2", "-subj", "/CN=relay.example.com"]
    safe = ["-passout", f"pass:{password}"] if password else ["-nodes"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([*command, *safe, *files], check=True, capture_output=True)


def test_an_address_of_another_host_is_a_doubt(tmp_path: Path) -> None:
    config = load(tmp_path, '[sources.a]\naddress = ["127.0.0.77", "::1"]\n[sources.b]\naddress = "192.0.2.7"\n')
    assert found(config) == [
        'doubt: sources.b.address: "192.0.2.7": is not an address of this host; mail from this source will wait'
    ]


def test_an_address_behind_haproxy_is_not_ours_to_have(tmp_path: Path) -> None:
    config = load(tmp_path, '[sources.a]\naddress = "192.0.2.7"\nproxy = "haproxy://127.0.0.1:9"\n')
    assert found(config) == []
    assert egress_of(config).order("a", 0.0) == [
        Source("a", ipv4="192.0.2.7", ip="any", proxy=Proxy("haproxy", "127.0.0.1", 9))
    ]


def test_certificates_are_read_beside_the_configuration(tmp_path: Path) -> None:
    config = load(tmp_path, '[sources.a]\ncertificate = "cert.pem"\nkey = "key.pem"\n')
    (problem,) = found(config)
    assert problem.startswith(f"problem: sources.a.certificate: {tmp_path}/cert.pem with the key {tmp_path}/key.pem: ")
    assert problem.endswith("No such file or directory")
    certificate(tmp_path)
    assert found(config) == []
    (source,) = egress_of(config).order("a", 0.0)
    assert source.tls is not None
    assert source.tls.of(None).get_ca_certs() == []


def test_an_encrypted_key_is_told_and_asks_nobody(tmp_path: Path) -> None:
    config = load(tmp_path, '[sources.a]\ncertificate = "cert.pem"\nkey = "key.pem"\n')
    certificate(tmp_path, password="hunter2")
    (problem,) = found(config)
    assert problem.endswith(f"{tmp_path}/key.pem: the key is encrypted; store it without a passphrase")


def test_secrets_from_a_file_and_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = '[sources.a]\nproxy = { file = "gate" }\n[sources.b]\nproxy = { env = "POSTROAD_TEST_GATE" }\n'
    config = load(tmp_path, text)
    assert found(config) == [
        f"problem: sources.a.proxy: {tmp_path}/gate cannot be read: No such file or directory",
        "problem: sources.b.proxy: the environment has no POSTROAD_TEST_GATE",
    ]
    with pytest.raises(ConfigError, match="sources.a.proxy"):
        egress_of(config)
    (tmp_path / "gate").write_text("socks5://me:hunter2@127.0.0.1:1080\n")
    monkeypatch.setenv("POSTROAD_TEST_GATE", "socks5://me:hunter2@127.0.0.1")
    assert found(config) == ["problem: sources.b.proxy: the proxy has no port between 1 and 65535"]
    monkeypatch.setenv("POSTROAD_TEST_GATE", "socks5://127.0.0.1:1081")
    assert found(config) == []
    assert egress_of(config).order("a", 0.0)[0].proxy == Proxy("socks5", "127.0.0.1", 1080, "me", "hunter2")
    assert egress_of(config).order("b", 0.0)[0].proxy == Proxy("socks5", "127.0.0.1", 1081)


@pytest.mark.parametrize(("octets", "words"), [(b"\n", "is empty"), (b"\xff", "is not UTF-8 text")])
def test_odd_files_of_secrets(tmp_path: Path, octets: bytes, words: str) -> None:
    (tmp_path / "gate").write_bytes(octets)
    assert found(load(tmp_path, '[sources.a]\nproxy = { file = "gate" }\n')) == [
        f"problem: sources.a.proxy: {tmp_path}/gate {words}"
    ]


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    config = load(tmp_path, '[sources.a]\nproxy = "socks5://me:hunter2@127.0.0.1:1080"\n')
    assert "hunter2" not in f"{config} {config!r} {egress_of(config).order('a', 0.0)}"


def test_preferences(tmp_path: Path) -> None:
    text = '[delivery]\nip = "prefer-ipv6"\n[sources.a]\nehlo = "A.example.com"\n[sources.b]\nip = "ipv4"\n'
    egress = egress_of(load(tmp_path, text + "[pools.p]\nsources = { a = 2, b = 1 }\n"))
    assert egress.order("a", 0.0) == [Source("a", hostname="a.example.com", ip="prefer-ipv6")]
    assert egress.order("b", 0.0) == [Source("b", ip="ipv4")]
    assert [source.name for source in egress.order("p", 0.0)] == ["a", "b"]
