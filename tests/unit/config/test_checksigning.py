"""Files of keys and secrets that others may read or change are doubted, and secrets that are short."""

from pathlib import Path

import pytest

from tests.support.command import run_command
from tests.support.mailauth import key

CONFIGURATION = """\
hostname = "relay.example.com"
[listeners.mx]
bind = ["127.0.0.1:2599"]
[resolver]
nameservers = ["127.0.0.1:9"]
[[routes]]
next_hops = ["capture:"]
[[dkim.keys]]
domain = "example.com"
selector = "s"
key = { file = "%s" }
"""


@pytest.mark.parametrize(("mode", "doubted"), [(0o600, False), (0o640, False), (0o644, True), (0o620, True)])
def test_the_mode_of_a_file(tmp_path: Path, mode: int, doubted: bool) -> None:
    file, config = tmp_path / "key.pem", tmp_path / "postroad.toml"
    file.write_bytes(key("ed25519").pem())
    file.chmod(mode)
    config.write_text(CONFIGURATION % file)
    done = run_command("check", "-c", config)
    told = f'dkim.keys[0].key: "{file}": others can read or change it; chmod 600, or 640'
    assert (told in done.out + done.err) is doubted
    assert done.code == 0


RETURNS = """\
hostname = "relay.example.com"
access.relay_domains = ["example.com"]
[listeners.mx]
bind = ["127.0.0.1:2599"]
[resolver]
nameservers = ["127.0.0.1:9"]
[srs]
domain = "example.com"
secret = { file = "%s" }
[batv]
domains = ["example.com"]
secret = { file = "%s" }
"""


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [
        ("0123456789abcdef", 0o600, ""),
        ("0123456789abcdef", 0o644, "others can read or change it; chmod 600, or 640"),
        ("short", 0o600, "(a secret, not shown): has 5 octets; let it have 16 at random, or more"),
        ("", 0o600, " is empty"),
        (None, 0o600, " cannot be read: No such file or directory"),
    ],
)
def test_secrets_of_return_paths(tmp_path: Path, text: str | None, mode: int, told: str) -> None:
    file, config = tmp_path / "secret", tmp_path / "postroad.toml"
    if text is not None:
        file.write_text(text)
        file.chmod(mode)
    config.write_text(RETURNS % (file, file))
    done = run_command("check", "-c", config)
    assert done.code == 0
    for option in ("srs.secret", "batv.secret"):
        assert any(line for line in done.err.splitlines() if option in line and told in line) == bool(told)
    assert not text or text not in done.out + done.err
