"""Whatever follows XCLIENT, reading it ends: in a client, or in a refusal; and what was meant is read."""

from contextlib import suppress
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from postroad.smtp.command import RefusalError
from postroad.smtp.xclient import ATTRIBUTES, decode_xtext, parse_xclient

words = st.builds(
    lambda name, value: name.encode() + b"=" + value,
    st.sampled_from(ATTRIBUTES) | st.text(max_size=10),
    st.binary(max_size=40) | st.sampled_from([b"[UNAVAILABLE]", b"127.0.0.1", b"IPV6:::1", b"ESMTP", b"25", b"a+3Db"]),
)


@given(st.binary(max_size=300) | st.lists(words, max_size=8).map(b" ".join))
def test_any_argument(argument: bytes) -> None:
    with suppress(RefusalError):
        client = parse_xclient(argument)
        if client.ip:
            ip_address(client.ip)
        assert client.port is None or 0 <= client.port <= 65535
        for text in (client.helo, client.login):
            assert text is None or text.isprintable()


def to_xtext(text: str) -> str:
    return "".join(
        chr(octet) if 33 <= octet <= 126 and octet not in b"+=" else f"+{octet:02X}" for octet in text.encode()
    )


@given(st.text(max_size=60))
def test_xtext_is_what_was_meant(text: str) -> None:
    assert decode_xtext(to_xtext(text)) == text


@given(st.ip_addresses(), st.integers(0, 65535), st.text("abc@+= ", min_size=1, max_size=30))
def test_what_was_meant_is_read(address: object, port: int, login: str) -> None:
    shown = f"IPV6:{address}" if ":" in str(address) else str(address)
    client = parse_xclient(f"ADDR={shown} PORT={port} LOGIN={to_xtext(login)} PROTO=esmtp".encode())
    assert (client.port, client.login, client.protocol, client.helo) == (port, login, "ESMTP", None)
    assert client.ip == str(getattr(address, "ipv4_mapped", None) or address)
