"""The PROXY protocol, versions 1 and 2 (*pure*): the header that goes ahead of all else and tells from where.

Sending (version 2 alone) it tells a proxy such as HAProxy from which address, to which one it is to connect on;
receiving it tells who is behind the proxy that connected to us. The proxy is answered nothing. Octets come in any
pieces, and none behind the header is lost. A header is believed because of who sends it, which is not decided here.
The protocol's text, sections 2.1 and 2.2 (haproxy.org).
"""

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from msgspec import Struct

from postroad.model.errors import PeerError

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_PROXY: Final = 0x21  # version 2, command PROXY
_LOCAL: Final = 0x20  # version 2, command LOCAL
_TCP4: Final = 0x11
_TCP6: Final = 0x21
_UNKNOWN: Final = (0x00, 0x31)  # AF_UNSPEC; a stream over a Unix socket: nothing that we could use
_WORDS: Final = b"PROXY "
_LINE_LIMIT: Final = 107  # octets of the longest header of version 1, with its CRLF (section 2.1)
_HEAD: Final = 16  # octets in front of the addresses of version 2
BLOCK_LIMIT: Final = 4096  # octets of addresses and further fields (TLVs), which are skipped


class Behind(Struct, frozen=True):
    """Who is behind the proxy; without addresses nobody knows, or with `is_local` it is the proxy itself."""

    source: str = ""
    source_port: int = 0
    target: str = ""
    target_port: int = 0
    is_local: bool = False


class HeaderReader:
    """Takes the first octets of one connection."""

    def __init__(self) -> None:
        """Nothing has come yet."""
        self._octets = b""

    def receive(self, octets: bytes) -> Behind | None:
        """Who is behind, once the header is complete; PeerError when it is none, and then this reader is of no use."""
        self._octets += octets
        got = self._octets
        if got[: len(SIGNATURE)] == SIGNATURE[: len(got)]:
            return self._second(got)
        if got[: len(_WORDS)] == _WORDS[: len(got)]:
            return self._first(got)
        raise PeerError(f"no PROXY header: {got[:32]!r}")

    @property
    def rest(self) -> bytes:
        """What came behind the header."""
        return self._octets

    def _first(self, got: bytes) -> Behind | None:
        end = got.find(b"\n", 0, _LINE_LIMIT)
        if end < 0:
            if len(got) >= _LINE_LIMIT:
                raise PeerError(f"the PROXY header is longer than {_LINE_LIMIT} octets: {got[:32]!r}")
            return None
        self._octets = got[end + 1 :]
        return _parse_line(got[: end + 1])

    def _second(self, got: bytes) -> Behind | None:
        if len(got) < _HEAD:
            return None
        size = int.from_bytes(got[_HEAD - 2 : _HEAD])
        if size > BLOCK_LIMIT:
            raise PeerError(f"the PROXY header says that {size} octets follow; more than {BLOCK_LIMIT} are not taken")
        end = _HEAD + size
        if len(got) < end:
            return None
        self._octets = got[end:]
        return _parse_block(got[12], got[13], got[_HEAD:end])


def _parse_line(line: bytes) -> Behind:
    """The header of version 1."""
    words = line[:-2].split(b" ")
    if not line.endswith(b"\r\n"):
        raise PeerError(f"the PROXY header does not end in CRLF: {line!r}")
    if words[1:2] == [b"UNKNOWN"]:
        return Behind()  # section 2.1: whatever else the line says is to be ignored
    if len(words) != 6 or words[1] not in {b"TCP4", b"TCP6"}:
        raise PeerError(f"the PROXY header makes no sense: {line!r}")
    version = 4 if words[1] == b"TCP4" else 6
    source, target = _address(words[2], version), _address(words[3], version)
    return Behind(source, _port(words[4]), target, _port(words[5]))


def _address(word: bytes, version: int) -> str:
    try:
        address = ip_address(word.decode("ascii"))
    except ValueError:
        raise PeerError(f"the PROXY header has no address in {word!r}") from None
    if address.version != version or b"%" in word:
        raise PeerError(f"the PROXY header has an address of another family: {word!r}")
    return _text(address)


def _port(word: bytes) -> int:
    if not (word.isdigit() and len(word) <= 5 and int(word) <= 65535):
        raise PeerError(f"the PROXY header has no port in {word!r}")
    return int(word)


def _parse_block(command: int, family: int, block: bytes) -> Behind:
    """The header of version 2."""
    if command == _LOCAL:
        return Behind(is_local=True)  # section 2.2: whatever follows is to be skipped
    if command != _PROXY:
        raise PeerError(f"the PROXY header has an unknown version or command: 0x{command:02x}")
    if family in _UNKNOWN:
        return Behind()
    if family not in {_TCP4, _TCP6}:
        raise PeerError(f"the PROXY header tells of something else than TCP: 0x{family:02x}")
    size = 4 if family == _TCP4 else 16
    if len(block) < 2 * size + 4:
        raise PeerError(f"the PROXY header has {len(block)} octets of addresses; {2 * size + 4} are needed")
    source, target, ports = block[:size], block[size : 2 * size], block[2 * size : 2 * size + 4]
    return Behind(
        _text(ip_address(source)), int.from_bytes(ports[:2]), _text(ip_address(target)), int.from_bytes(ports[2:])
    )


def _text(address: IPv4Address | IPv6Address) -> str:
    """As the kernel would show it; an IPv4 address mapped into IPv6 is itself."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def encode_header(source: str, source_port: int, target: str, target_port: int) -> bytes:
    """The header for a TCP connection from `source` to `target`, IP addresses of one family; else ValueError."""
    ours, theirs = ip_address(source), ip_address(target)
    if ours.version != theirs.version:
        raise ValueError(f"{source} and {target} are of different families")
    block = ours.packed + theirs.packed + source_port.to_bytes(2) + target_port.to_bytes(2)
    family = _TCP4 if ours.version == 4 else _TCP6
    return SIGNATURE + bytes((_PROXY, family)) + len(block).to_bytes(2) + block
