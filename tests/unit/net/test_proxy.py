"""Proxies as they are written, and that nothing we say repeats a password."""

import pytest

from postroad.net.proxy import HAPROXY, SOCKS5, Proxy, parse_proxy
from postroad.net.proxyproto import SIGNATURE, encode_header


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("socks5://127.0.0.1:1080", Proxy(SOCKS5, "127.0.0.1", 1080)),
        ("socks5://me:p%40ss@gate.example.com:1080/", Proxy(SOCKS5, "gate.example.com", 1080, "me", "p@ss")),
        (" haproxy://[2001:db8::1]:2525\n", Proxy(HAPROXY, "2001:db8::1", 2525)),
    ],
)
def test_read(text: str, proxy: Proxy) -> None:
    assert parse_proxy(text) == proxy


@pytest.mark.parametrize(
    "text",
    [
        "",
        "socks4://me:hunter2@h:1",
        "http://me:hunter2@h:1",
        "socks5://me:hunter2@h",
        "socks5://me:hunter2@h:0",
        "socks5://me:hunter2@h:99999",
        "socks5://me:hunter2@:1080",
        "socks5://me:hunter2@h:1/path",
        "socks5://me:hunter2@h:1?x",
        "socks5://hunter2@h:1",
        "socks5://:hunter2@h:1",
        "socks5://me:hunter2@[::1:1",
        "haproxy://me:hunter2@h:1",
        f"socks5://me:hunter2{'x' * 250}@h:1",
    ],
)
def test_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        parse_proxy(text)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_shown_without_its_secret() -> None:
    proxy = parse_proxy("socks5://me:hunter2@[2001:db8::1]:1080")
    assert str(proxy) == "socks5://[2001:db8::1]:1080"
    assert repr(proxy) == "Proxy(socks5://[2001:db8::1]:1080)"


def test_header_v4() -> None:
    header = encode_header("192.0.2.1", 40000, "198.51.100.2", 25)
    assert header == SIGNATURE + b"\x21\x11\x00\x0c" + bytes((192, 0, 2, 1, 198, 51, 100, 2)) + b"\x9c\x40\x00\x19"


def test_header_v6() -> None:
    header = encode_header("2001:db8::1", 1, "2001:db8::2", 25)
    assert header[12:16] == b"\x21\x21\x00\x24"
    assert len(header) == 16 + 36


def test_families_must_agree() -> None:
    with pytest.raises(ValueError, match="different families"):
        encode_header("192.0.2.1", 1, "2001:db8::2", 25)
