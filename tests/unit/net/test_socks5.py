"""The SOCKS5 client, octet by octet: methods, log-in, replies, and what the target says right behind."""

import pytest

from postroad.model.errors import EgressError, PeerError
from postroad.net.socks5 import Socks5

CONNECT_V4 = b"\x05\x01\x00\x01\xc0\x00\x02\x09\x00\x19"
GRANTED = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"


def test_without_log_in() -> None:
    session = Socks5("192.0.2.9", 25)
    assert session.begin() == b"\x05\x01\x00"
    assert session.receive(b"\x05\x00") == CONNECT_V4
    assert session.receive(GRANTED + b"220 hello") == b""
    assert session.is_done
    assert session.rest == b"220 hello"


def test_with_log_in() -> None:
    session = Socks5("2001:db8::1", 587, "me", "secret")
    assert session.begin() == b"\x05\x02\x00\x02"
    assert session.receive(b"\x05\x02") == b"\x01\x02me\x06secret"
    asked = session.receive(b"\x01\x00")
    assert asked == b"\x05\x01\x00\x04" + bytes.fromhex("20010db8000000000000000000000001") + b"\x02\x4b"
    session.receive(b"\x05\x00\x00\x04" + bytes(18))
    assert session.is_done


def test_a_proxy_that_wants_no_log_in_gets_none() -> None:
    session = Socks5("192.0.2.9", 25, "me", "secret")
    session.begin()
    assert session.receive(b"\x05\x00") == CONNECT_V4


@pytest.mark.parametrize(
    "bound", [b"\x01" + bytes(6), b"\x04" + bytes(18), b"\x03\x05proxy\x00\x00", b"\x03\x00\x00\x00"]
)
def test_every_split_ends_the_same(bound: bytes) -> None:
    said = b"\x05\x02\x01\x00\x05\x00\x00" + bound + b"220 x"
    for cut in range(len(said)):
        session = Socks5("192.0.2.9", 25, "me", "secret")
        sent = session.receive(said[:cut])
        if not session.is_done:
            sent += session.receive(said[cut:])
            assert session.rest == b"220 x"
        else:
            assert session.rest + said[cut:] == b"220 x"
        assert session.is_done
        assert sent == b"\x01\x02me\x06secret" + CONNECT_V4


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"\x05\xff", "wants a user and password"),
        (b"\x05\x01", "unknown method 1"),
        (b"\x05\x02", "unknown method 2"),
        (b"HTTP", "does not speak SOCKS5"),
        (b"\x05\x00\x04", "does not speak SOCKS5"),
        (b"\x05\x00\x05\x02\x00\x01", "not allowed by its rules"),
        (b"\x05\x00\x05\x07\x00\x01", "CONNECT is not supported"),
        (b"\x05\x00\x05\x00\x00\x09\x00", "does not speak SOCKS5"),
    ],
)
def test_the_proxy_is_the_trouble(octets: bytes, words: str) -> None:
    with pytest.raises(EgressError, match=words):
        Socks5("192.0.2.9", 25).receive(octets)


@pytest.mark.parametrize(
    ("octets", "words"), [(b"\x05\xff", "takes no user"), (b"\x05\x02\x01\x01", "refused the user")]
)
def test_the_log_in_is_the_trouble(octets: bytes, words: str) -> None:
    with pytest.raises(EgressError, match=words) as caught:
        Socks5("192.0.2.9", 25, "me", "secret").receive(octets)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "words"), [(1, "general failure"), (4, "no route to host"), (5, "connection refused"), (99, "failure 99")]
)
def test_the_target_is_the_trouble(code: int, words: str) -> None:
    with pytest.raises(PeerError, match=words) as caught:
        Socks5("192.0.2.9", 25).receive(b"\x05\x00\x05" + bytes((code,)))
    assert not isinstance(caught.value, EgressError)


def test_lengths() -> None:
    with pytest.raises(ValueError, match="at most 255 octets"):
        Socks5("192.0.2.9", 25, "u" * 256, "p")
