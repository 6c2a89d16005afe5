"""`postroad key`: what it prints is a key and the configuration that lets it in."""

import subprocess
import sys
import tomllib

from postroad.api.keys import KeyRing, digest_of, scope_of
from postroad.api.settings import KeySettings


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "postroad", "key", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_key_fits_the_lines() -> None:
    done = run("shop")
    assert done.returncode == 0
    key = done.stdout.split("Bearer ")[1].split()[0]
    (name, table), *more = tomllib.loads(done.stdout)["api"]["keys"].items()
    assert (name, more) == ("shop", [])
    ring = KeyRing({digest_of(table["key"]): scope_of(name, KeySettings(**table | {"senders": ("*",)}), 1 << 20)})
    assert ring.owner(key) is not None
    assert key not in table["key"]
    assert run("shop").stdout != done.stdout


def test_a_name_that_cannot_be_one_is_refused() -> None:
    done = run("a b")
    assert done.returncode == 64
    assert "letters, digits, hyphens" in done.stderr.replace("\n", " ")
