"""Files of keys that others may read or change are doubted."""

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
    told = f'dkim.keys[0].key: "{file}": others can read or change the key; chmod 600, or 640'
    assert (told in done.out + done.err) is doubted
    assert done.code == 0
