"""Headers of the PROXY protocol as they come: both versions, in any pieces, and what is none."""

import pytest

from postroad.model.errors import PeerError
from postroad.net.proxyproto import BLOCK_LIMIT, SIGNATURE, Behind, HeaderReader, encode_header

V4 = Behind("192.0.2.7", 40000, "198.51.100.1", 25)
V6 = Behind("2001:db8::7", 40000, "2001:db8::1", 587)


def block(command: int, family: int, octets: bytes) -> bytes:
    return SIGNATURE + bytes((command, family)) + len(octets).to_bytes(2) + octets


@pytest.mark.parametrize(
    ("header", "behind"),
    [
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n", V4),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 587\r\n", V6),
        (b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:198.51.100.1 40000 25\r\n", V4),
        (b"PROXY UNKNOWN\r\n", Behind()),
        (b"PROXY UNKNOWN ffff::1 and what not\r\n", Behind()),
        (encode_header("192.0.2.7", 40000, "198.51.100.1", 25), V4),
        (encode_header("2001:db8::7", 40000, "2001:db8::1", 587), V6),
        (encode_header("::ffff:192.0.2.7", 40000, "::ffff:198.51.100.1", 25), V4),
        (block(0x20, 0x00, b""), Behind(is_local=True)),
        (block(0x20, 0x11, b"whatever"), Behind(is_local=True)),
        (block(0x21, 0x00, b""), Behind()),
        (block(0x21, 0x31, bytes(216)), Behind()),
        (block(0x21, 0x11, encode_header("192.0.2.7", 40000, "198.51.100.1", 25)[16:] + b"\x04\0\x03abc"), V4),
    ],
)
def test_headers(header: bytes, behind: Behind) -> None:
    reader = HeaderReader()
    assert reader.receive(header + b"EHLO me\r\n") == behind
    assert reader.rest == b"EHLO me\r\n"
    reader = HeaderReader()
    for octet in header[:-1]:
        assert reader.receive(bytes((octet,))) is None
    assert reader.receive(header[-1:]) == behind
    assert reader.rest == b""


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"EHLO me\r\n", "no PROXY header"),
        (b"P\r\n", "no PROXY header"),
        (b"\r\n\r\n\r\n", "no PROXY header"),
        (b"\x16\x03\x01\x02\x00", "no PROXY header"),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\n", "CRLF"),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 40000\r\n", "no sense"),
        (b"PROXY UDP4 192.0.2.7 198.51.100.1 40000 25\r\n", "no sense"),
        (b"PROXY \r\n", "no sense"),
        (b"PROXY TCP4 192.0.2.7  198.51.100.1 40000 25\r\n", "no sense"),
        (b"PROXY TCP4 2001:db8::7 2001:db8::1 40000 25\r\n", "another family"),
        (b"PROXY TCP6 fe80::1%eth0 2001:db8::1 40000 25\r\n", "another family"),
        (b"PROXY TCP4 192.0.2.700 198.51.100.1 40000 25\r\n", "no address"),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 25\r\n", "no port"),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 -1 25\r\n", "no port"),
        (b"PROXY UNKNOWN " + b"x" * 100 + b"\r\n", "longer than"),
        (block(0x22, 0x11, bytes(12)), "version or command"),
        (block(0x11, 0x11, bytes(12)), "version or command"),
        (block(0x21, 0x12, bytes(12)), "else than TCP"),
        (block(0x21, 0x11, bytes(11)), "11 octets of addresses"),
        (block(0x21, 0x21, bytes(35)), "35 octets of addresses"),
        (block(0x21, 0x11, bytes(BLOCK_LIMIT + 1)), "more than"),
        (SIGNATURE + b"\x21\x11\xff\xff", "more than"),
    ],
)
def test_what_is_none(octets: bytes, why: str) -> None:
    with pytest.raises(PeerError, match=why):
        HeaderReader().receive(octets)
    with pytest.raises(PeerError, match=why):
        feed_each(octets)


def feed_each(octets: bytes) -> None:
    reader = HeaderReader()
    for octet in octets:
        reader.receive(bytes((octet,)))
