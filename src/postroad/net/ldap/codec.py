"""LDAP messages as octets: the few requests that we send, and the answers to them (RFC 4511).

BER in the form that LDAP allows, definite lengths alone (RFC 4511 5.1). Pure. Invariant: whatever a peer sends is a
message, not yet whole, or a PeerError; it costs no more memory than the octets that came, and what we do not know is
passed over as the protocol asks (RFC 4511 4).
"""

from typing import Final

from msgspec import Struct

from postroad.model.errors import PeerError

MESSAGE_LIMIT: Final = 4 << 20  # octets of one message of a server
START_TLS: Final = b"1.3.6.1.4.1.1466.20037"  # RFC 4511 4.14.1

BASE: Final = 0  # scopes of a search (RFC 4511 4.5.1.2)
SUBTREE: Final = 2

SUCCESS: Final = 0  # result codes (RFC 4511 A.1), as far as anybody looks at them
SIZE_LIMIT_EXCEEDED: Final = 4
NO_SUCH_OBJECT: Final = 32
INVALID_CREDENTIALS: Final = 49
_CODES: Final = (
    (1, "operations error"),
    (2, "protocol error"),
    (3, "time limit exceeded"),
    (SIZE_LIMIT_EXCEEDED, "size limit exceeded"),
    (7, "authentication method not supported"),
    (8, "stronger authentication required"),
    (10, "referral to another server"),
    (11, "administrative limit exceeded"),
    (12, "unavailable critical extension"),
    (13, "confidentiality required: use TLS"),
    (16, "no such attribute"),
    (17, "undefined attribute type"),
    (18, "inappropriate matching"),
    (19, "constraint violation"),
    (NO_SUCH_OBJECT, "no such object"),
    (34, "invalid DN syntax"),
    (48, "inappropriate authentication"),
    (INVALID_CREDENTIALS, "invalid credentials"),
    (50, "insufficient access rights"),
    (51, "busy"),
    (52, "unavailable"),
    (53, "unwilling to perform"),
    (80, "other error"),
)

_INTEGER: Final = 0x02
_OCTETS: Final = 0x04
_ENUMERATED: Final = 0x0A
_SEQUENCE: Final = 0x30
_SET: Final = 0x31
_ENTRY: Final = 0x64
_DONE: Final = 0x65
_REFERENCE: Final = 0x73
_BIND_ANSWER: Final = 0x61
_EXTENDED_ANSWER: Final = 0x78


class Entry(Struct, frozen=True):
    """One entry of a directory: its name, and its attributes by their names in lower case."""

    dn: str
    attributes: dict[str, tuple[bytes, ...]]

    def texts(self, name: str) -> tuple[str, ...]:
        """The values of the attribute `name` that are text."""
        found = []
        for value in self.attributes.get(name.lower(), ()):
            try:
                found.append(value.decode())
            except UnicodeDecodeError:
                continue
        return tuple(found)

    def text(self, name: str) -> str:
        """The first value of the attribute `name` that is text, or ""."""
        return next(iter(self.texts(name)), "")


class Result(Struct, frozen=True, gc=False):
    """How an operation ended (RFC 4511 4.1.9); `text` is what the server says to it."""

    code: int
    text: str = ""

    def __str__(self) -> str:
        """As people read it: "no such object (32): ..."."""
        words = next((words for code, words in _CODES if code == self.code), "result")
        return f"{words} ({self.code})" + (f": {self.text}" if self.text else "")


class Reference(Struct, frozen=True, gc=False):
    """Where else a search could go on (RFC 4511 4.5.3); not followed."""


class Message(Struct, frozen=True):
    """One message of a server: the answer to request `number`, or 0 when it is none (RFC 4511 4.4)."""

    number: int
    body: Entry | Result | Reference


# -- what we send ----------------------------------------------------------------------------------


def bind_request(number: int, dn: str, password: str) -> bytes:
    """A simple bind (RFC 4511 4.2)."""
    content = b"\x02\x01\x03" + pack(_OCTETS, dn.encode()) + pack(0x80, password.encode())
    return _message(number, pack(0x60, content))


def search_request(
    number: int, base: str, scope: int, packed_filter: bytes, attributes: tuple[str, ...], limits: tuple[int, int]
) -> bytes:
    """A search (RFC 4511 4.5.1); `limits` are entries and seconds. Aliases are not followed."""
    size, seconds = limits
    names = b"".join(pack(_OCTETS, name.encode()) for name in attributes)
    content = (
        pack(_OCTETS, base.encode())
        + pack(_ENUMERATED, bytes((scope,)))
        + b"\x0a\x01\x00"
        + _integer(size)
        + _integer(seconds)
        + b"\x01\x01\x00"
        + packed_filter
        + pack(_SEQUENCE, names)
    )
    return _message(number, pack(0x63, content))


def start_tls_request(number: int) -> bytes:
    """The wish for TLS (RFC 4511 4.14.1)."""
    return _message(number, pack(0x77, pack(0x80, START_TLS)))


def unbind_request(number: int) -> bytes:
    """Good-bye (RFC 4511 4.3)."""
    return _message(number, b"\x42\x00")


def pack(tag: int, content: bytes) -> bytes:
    """One element of BER."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def _integer(value: int) -> bytes:
    return pack(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def _message(number: int, operation: bytes) -> bytes:
    return pack(_SEQUENCE, _integer(number) + operation)


# -- what we get -----------------------------------------------------------------------------------


def whole_message(buffer: bytes, at: int) -> int:
    """How many octets the message at `at` has; 0 when it is not whole yet. PeerError: it is none."""
    have = len(buffer) - at
    if have and buffer[at] != _SEQUENCE:
        raise PeerError("what the server says is not LDAP")
    if have < 2:
        return 0
    head, size = 2, buffer[at + 1]
    if size >= 0x80:
        count = size & 0x7F
        if not 1 <= count <= 4:
            raise PeerError("what the server says is not LDAP")
        head += count
        if have < head:
            return 0
        size = int.from_bytes(buffer[at + 2 : at + head], "big")
    if size > MESSAGE_LIMIT:
        raise PeerError(f"a message of {size} octets; more than {MESSAGE_LIMIT} are not taken")
    return head + size if have >= head + size else 0


def decode_message(octets: bytes) -> Message:
    """The message that `octets` are, without their controls; PeerError when they are none."""
    parts = _parts(octets, *_span(octets, 0, len(octets), _SEQUENCE))
    if len(parts) < 2 or parts[0][0] != _INTEGER:
        raise PeerError("an LDAP message without number or content")
    number = _number(octets, parts[0])
    tag, start, end = parts[1]
    if tag == _ENTRY:
        return Message(number, _entry(octets, start, end))
    if tag == _REFERENCE:
        return Message(number, Reference())
    if tag in {_DONE, _BIND_ANSWER, _EXTENDED_ANSWER}:
        return Message(number, _result(octets, start, end))
    raise PeerError(f"an LDAP message of the kind 0x{tag:02x}, which is no answer to us")


def _entry(octets: bytes, start: int, end: int) -> Entry:
    parts = _parts(octets, start, end)
    if [tag for tag, _, _ in parts[:2]] != [_OCTETS, _SEQUENCE]:
        raise PeerError("an LDAP entry without name or attributes")
    attributes: dict[str, tuple[bytes, ...]] = {}
    for tag, inner, last in _parts(octets, *parts[1][1:]):
        pair = _parts(octets, inner, last) if tag == _SEQUENCE else []
        if [kind for kind, _, _ in pair[:2]] != [_OCTETS, _SET]:
            raise PeerError("an LDAP attribute without name or values")
        values = tuple(octets[a:b] for kind, a, b in _parts(octets, *pair[1][1:]) if kind == _OCTETS)
        attributes[_text(octets, pair[0]).lower()] = values
    return Entry(_text(octets, parts[0]), attributes)


def _result(octets: bytes, start: int, end: int) -> Result:
    parts = _parts(octets, start, end)
    if [tag for tag, _, _ in parts[:3]] != [_ENUMERATED, _OCTETS, _OCTETS]:
        raise PeerError("an LDAP result without code or text")
    return Result(_number(octets, parts[0]), _text(octets, parts[2]).strip(" \r\n\0"))


def _parts(octets: bytes, start: int, end: int) -> list[tuple[int, int, int]]:
    """Tag, begin and end of every element between `start` and `end`."""
    found = []
    while start < end:
        begin, finish = _span(octets, start, end)
        found.append((octets[start], begin, finish))
        start = finish
    return found


def _span(octets: bytes, at: int, end: int, tag: int = -1) -> tuple[int, int]:
    """Begin and end of the content of the element that begins at `at`."""
    if at + 2 > end or (tag >= 0 and octets[at] != tag) or octets[at] & 0x1F == 0x1F:
        raise PeerError("what the server says is not LDAP")
    size, begin = octets[at + 1], at + 2
    if size >= 0x80:
        count = size & 0x7F
        begin += count
        if not 1 <= count <= 4 or begin > end:
            raise PeerError("what the server says is not LDAP")
        size = int.from_bytes(octets[at + 2 : begin], "big")
    if begin + size > end:
        raise PeerError("what the server says is not LDAP")
    return begin, begin + size


def _number(octets: bytes, part: tuple[int, int, int]) -> int:
    _, start, end = part
    if not 1 <= end - start <= 5:
        raise PeerError("a number in an LDAP message that is none")
    return int.from_bytes(octets[start:end], "big", signed=True)


def _text(octets: bytes, part: tuple[int, int, int]) -> str:
    return octets[part[1] : part[2]].decode(errors="replace")
