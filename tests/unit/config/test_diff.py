"""Two configurations compared: what people read, what a reload does with it, and that no secret is in it."""

from pathlib import Path

import pytest

from postroad.config.diff import differences, keep_running
from postroad.config.load import load_config
from postroad.config.schema import Config

BASE = """\
hostname = "relay.example.com"

[listeners.mx]
bind = ["127.0.0.1:2525"]

[[routes]]
recipients = ["example.com"]
next_hops = ["smtp://mail.example.com:25"]

[[routes]]
recipients = ["*"]
next_hops = ["mx"]

[sources.out]
ehlo = "out.example.com"
proxy = "socks5://user:sesame@127.0.0.1:1080"
"""
FIRST = '[[routes]]\nrecipients = ["example.com"]'


def load(folder: Path, text: str) -> Config:
    file = folder / "postroad.toml"
    file.write_text(text)
    return load_config(file)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            '"relay.example.com"',
            '"other.example.com"',
            [
                'hostname: "relay.example.com" -> "other.example.com"',
                'postmaster: "postmaster@relay.example.com" -> "postmaster@other.example.com"',
            ],
        ),
        (
            "[sources.out]",
            '[limits]\nmessage_size = "10MiB"\ncommand_timeout = "10m"\n[sources.out]',
            ['limits.message_size: "50MiB" -> "10MiB"', 'limits.command_timeout: "5m" -> "10m"'],
        ),
        (
            FIRST,
            '[[routes]]\nrecipients = ["example.org"]\nthen = "hold"\n\n' + FIRST,
            ['routes[0]: (not there) -> { recipients = ["example.org"], then = "hold" }'],
        ),
        ('["mx"]', '["capture:"]', ['routes[1].next_hops: ["mx"] -> ["capture:"]']),
        (
            "[sources.out]",
            '[listeners.more]\nbind = ["127.0.0.1:2526"]\n[sources.out]',
            ['listeners.more: (not there) -> { bind = ["127.0.0.1:2526"] }'],
        ),
        ("sesame", "abracadabra", ["sources.out.proxy: (secret) -> (another secret)"]),
        ('proxy = "socks5://user:sesame@127.0.0.1:1080"', "", ["sources.out.proxy: (secret) -> (not there)"]),
    ],
)
def test_changes_are_told_option_by_option(tmp_path: Path, old: str, new: str, told: list[str]) -> None:
    assert old in BASE
    changes = differences(load(tmp_path, BASE), load(tmp_path, BASE.replace(old, new)))
    assert sorted(map(str, changes)) == sorted(told)
    assert not any(change.effect or change.refused for change in changes)


def test_a_table_that_goes_shows_no_secret(tmp_path: Path) -> None:
    gone = BASE[: BASE.index("[sources.out]")]
    (change,) = differences(load(tmp_path, BASE), load(tmp_path, gone))
    assert str(change) == 'sources.out: { ehlo = "out.example.com", proxy = (secret) } -> (not there)'


def test_nothing_differs_from_itself(tmp_path: Path) -> None:
    assert differences(load(tmp_path, BASE), load(tmp_path, BASE)) == []


def test_what_a_start_alone_can_change_is_kept_and_named(tmp_path: Path) -> None:
    old = load(tmp_path, BASE)
    new = load(tmp_path, 'data_dir = "other"\n' + BASE + '\n[spool]\nfree_space = "3GiB"\n')
    moved, kept = differences(old, new)
    assert (moved.option, moved.refused) == ("data_dir", True)
    assert (kept.option, kept.refused) == ("spool.free_space", False)
    assert "next start" in kept.effect
    assert keep_running(old, new).spool == old.spool
