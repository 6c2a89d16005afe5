"""Whatever a proxy sends, reading it ends, in a connection or a PeerError; and whatever we send says what was meant."""

from contextlib import suppress
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from postroad.model.errors import PeerError
from postroad.net.proxy import Proxy, parse_proxy
from postroad.net.proxyproto import BLOCK_LIMIT, SIGNATURE, Behind, HeaderReader, encode_header
from postroad.net.socks5 import Socks5

addresses = st.ip_addresses().map(str)
ports = st.integers(0, 65535)
TRUE = b"\x05\x02\x01\x00\x05\x00\x00\x03\x05proxy\x12\x34220 hello\r\n"


def feed(octets: bytes, cuts: list[int]) -> Socks5:
    session = Socks5("192.0.2.1", 25, "me", "secret")
    at = 0
    for cut in [*sorted(cut for cut in cuts if cut <= len(octets)), len(octets)]:
        if session.is_done:
            break
        session.receive(octets[at:cut])
        at = cut
    return session


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=5))
def test_random_octets(octets: bytes, cuts: list[int]) -> None:
    with suppress(PeerError):
        feed(octets, cuts)


@given(st.lists(st.tuples(st.integers(0, len(TRUE) - 1), st.integers(0, 255)), max_size=4), st.lists(ports, max_size=5))
def test_a_true_dialog_damaged(changes: list[tuple[int, int]], cuts: list[int]) -> None:
    octets = bytearray(TRUE)
    for at, octet in changes:
        octets[at] = octet
    with suppress(PeerError):
        whole = feed(bytes(octets), [])
        split = feed(bytes(octets), cuts)
        if whole.is_done and split.is_done:
            assert whole.rest.startswith(split.rest)


@given(addresses, ports, ports, st.data())
def test_headers_say_what_was_meant(source: str, source_port: int, port: int, data: st.DataObject) -> None:
    version = ip_address(source).version
    target = str(data.draw(st.ip_addresses(v=4 if version == 4 else 6)))
    header = encode_header(source, source_port, target, port)
    assert header.startswith(SIGNATURE + b"\x21")
    size = 4 if header[13] >> 4 == 1 else 16
    assert len(header) == 16 + int.from_bytes(header[14:16])
    block = header[16:]
    assert str(ip_address(block[:size])) == source
    assert str(ip_address(block[size : 2 * size])) == target
    assert int.from_bytes(block[2 * size : 2 * size + 2]) == source_port
    assert int.from_bytes(block[2 * size + 2 :]) == port


@given(st.text(max_size=60) | st.text(alphabet="socks5haproxy:/@[]%.1", max_size=40))
def test_any_text_for_a_proxy(text: str) -> None:
    with suppress(ValueError):
        assert isinstance(parse_proxy(text), Proxy)


def read_header(octets: bytes, cuts: list[int]) -> tuple[Behind | None, bytes]:
    """Who is behind, and what is left; what is not complete says nobody."""
    reader = HeaderReader()
    at = 0
    for cut in [*sorted(cut for cut in cuts if cut <= len(octets)), len(octets)]:
        behind = reader.receive(octets[at:cut])
        at = cut
        if behind is not None:
            return behind, reader.rest + octets[at:]
        assert len(reader.rest) <= 16 + BLOCK_LIMIT
    return None, reader.rest


beginnings = st.sampled_from(
    [b"", SIGNATURE, SIGNATURE + b"\x21\x11\0\x0c", b"PROXY ", b"PROXY TCP4 ", b"PROXY UNKNOWN"]
)
splits = st.lists(st.integers(0, 400), max_size=5)


@given(beginnings, st.binary(max_size=400), splits)
def test_headers_in_any_pieces_mean_the_same(beginning: bytes, octets: bytes, cuts: list[int]) -> None:
    octets = beginning + octets
    try:
        whole = read_header(octets, [])
    except PeerError:
        with suppress(PeerError):
            assert read_header(octets, cuts)[0] is None  # else the same octets were a header
        return
    assert read_header(octets, cuts) == whole


@given(addresses, ports, ports, st.data(), splits, st.binary(max_size=50))
def test_headers_that_we_send_are_read(
    source: str, source_port: int, port: int, data: st.DataObject, cuts: list[int], rest: bytes
) -> None:
    target = str(data.draw(st.ip_addresses(v=4 if ip_address(source).version == 4 else 6)))
    behind, left = read_header(encode_header(source, source_port, target, port) + rest, cuts)
    assert behind is not None
    assert (behind.source_port, behind.target_port, left) == (source_port, port, rest)
    mapped = getattr(ip_address(source), "ipv4_mapped", None)
    assert behind.source == str(mapped or ip_address(source))
