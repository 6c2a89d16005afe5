"""DNS messages: a question as octets, and an answer's octets as a value (*pure*).

The types a mail server asks for, in the text forms of model/dns.py. Whatever arrives, reading ends: name
pointers may only lead backwards, and every length is checked; octets that are no answer to the question
raise ValueError. RFC 1035 4 (format), RFC 6891 6.1 (EDNS), RFC 6840 5.7 (AD in questions), RFC 2308 2
(absence), RFC 3596 2.1 (AAAA), RFC 2782 (SRV), RFC 6698 2.1 (TLSA).
"""

import struct
from ipaddress import IPv6Address
from struct import Struct as Layout
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from postroad.model.dns import Answer, DnsStatus, MxRecord, SrvRecord, TlsaRecord

KINDS: Final = MappingProxyType(
    {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33, "TLSA": 52}
)
PAYLOAD: Final = 1232  # octets over UDP that no common link fragments (the value agreed on at DNS flag day 2020)
TTL_LIMIT: Final = 86_400  # seconds; RFC 8767 4 lets a resolver cap what it is told
CHAIN_LIMIT: Final = 12  # CNAMEs followed in one answer
NAME_LIMIT: Final = 255  # octets on the wire, RFC 1035 2.3.4

_OPT: Final = 41
_CLASS_IN: Final = 1
_HEADER: Final = Layout(">HHHHHH")
_QUESTION_END: Final = Layout(">HH")
_RECORD: Final = Layout(">HHiH")
_SHORT: Final = Layout(">H")
_SRV: Final = Layout(">HHH")
_SOA: Final = Layout(">IIIII")
_OPT_RECORD: Final = b"\0" + Layout(">HHIH").pack(_OPT, PAYLOAD, 0, 0)
_FLAG_RESPONSE: Final = 0x8000
_FLAG_AUTHORITATIVE: Final = 0x0400
_FLAG_TRUNCATED: Final = 0x0200
_FLAG_RECURSION: Final = 0x0100
_FLAG_AUTHENTIC: Final = 0x0020
_OPCODES: Final = 0x7800
_RCODES: Final = 0x000F
_TO_QUESTION: Final = b"\xc0\x0c"  # a pointer to the question's name: the owner of most records

FORMAT_ERROR: Final = 1
NAME_ERROR: Final = 3
NOT_IMPLEMENTED: Final = 4


class Reading(Struct, frozen=True):
    """One answer message: `rcode` as the server gave it, and what it says about the question.

    `unproven` is the name at which a chain of CNAMEs broke off without a word about it ("": it did not).
    """

    rcode: int
    truncated: bool
    answer: Answer
    unproven: str = ""


class _Record(Struct, frozen=True, gc=False):
    owner: str
    kind: int
    ttl: int
    start: int
    end: int


def encode_question(ident: int, name: str, kind: str, *, edns: bool = True) -> bytes:
    """The message that asks for `kind` of `name` with id `ident`; ValueError when `name` cannot be a name."""
    flags = _FLAG_RECURSION | _FLAG_AUTHENTIC  # AD in a question asks for AD in the answer
    head = _HEADER.pack(ident, flags, 1, 0, 0, int(edns))
    return head + encode_name(name) + _QUESTION_END.pack(KINDS[kind], _CLASS_IN) + (_OPT_RECORD if edns else b"")


def encode_name(name: str) -> bytes:
    """`name` (ASCII, with or without trailing dot, "" for the root) as on the wire; ValueError when it is none."""
    name = name.removesuffix(".")
    if not name:
        return b"\0"
    out = bytearray()
    for label in name.encode("ascii").split(b"."):
        if not 0 < len(label) < 64:
            raise ValueError("a label of a name has 1 to 63 octets")
        out.append(len(label))
        out += label
    out.append(0)
    if len(out) > NAME_LIMIT:
        raise ValueError(f"a name has at most {NAME_LIMIT} octets")
    return bytes(out)


def read_answer(data: bytes, question: bytes, kind: str) -> Reading:
    """What `data` answers to `question`, as made by `encode_question` for `kind`; ValueError when it does not."""
    try:
        return _read(data, question, KINDS[kind])
    except (struct.error, IndexError):
        raise ValueError("message ends too early") from None


def read_id(data: bytes) -> int:
    """The id of a message, -1 when it has none."""
    return int.from_bytes(data[:2], "big") if len(data) >= _HEADER.size else -1


def _read(data: bytes, question: bytes, kind: int) -> Reading:
    ident, flags, questions, answers, authorities, additions = _HEADER.unpack_from(data)
    if ident != read_id(question) or not flags & _FLAG_RESPONSE or flags & _OPCODES:
        raise ValueError("not an answer to this question")
    rcode = flags & _RCODES
    if questions == 0 and rcode in (FORMAT_ERROR, NOT_IMPLEMENTED):  # servers that did not even read it
        return Reading(rcode, truncated=False, answer=Answer(DnsStatus.FAILED))
    name, end = _read_name(question, _HEADER.size)
    offset = end
    if questions != 1 or data[_HEADER.size : end + 4] != question[_HEADER.size : end + 4]:
        asked, offset = _read_name(data, _HEADER.size)
        if questions != 1 or asked != name or data[offset : offset + 4] != question[end : end + 4]:
            raise ValueError("answer to another question")
    if flags & _FLAG_TRUNCATED:
        return Reading(rcode, truncated=True, answer=Answer(DnsStatus.FAILED))
    offset += 4
    found, offset = _read_records(data, offset, answers, name)
    about, offset = _read_records(data, offset, authorities, name)
    extra, offset = _read_records(data, offset, additions, name)
    for record in extra:
        if record.kind == _OPT:
            rcode |= (record.ttl >> 20) & 0xFF0  # RFC 6891 6.1.3: the upper eight bits
    return _judge(data, name, kind, _Sections(rcode, flags, found, about))


class _Sections(Struct, frozen=True):
    rcode: int
    flags: int
    found: list[_Record]
    about: list[_Record]


def _judge(data: bytes, name: str, kind: int, message: _Sections) -> Reading:
    """FOUND, one of the two kinds of absence (RFC 2308 2), or a failure."""
    if message.rcode not in (0, NAME_ERROR):
        return Reading(message.rcode, truncated=False, answer=Answer(DnsStatus.FAILED))
    authentic = bool(message.flags & _FLAG_AUTHENTIC)
    canonical, ttl = _follow(data, name, kind, message.found)
    records = [record for record in message.found if record.kind == kind and record.owner == canonical]
    if records and message.rcode == 0:
        ttl = min(ttl, *(_seconds(record) for record in records))
        values = tuple(dict.fromkeys(_read_value(data, record) for record in records))
        answer = Answer(DnsStatus.FOUND, values, ttl, authentic, canonical)
        return Reading(0, truncated=False, answer=answer)
    soa = next((record for record in message.about if record.kind == KINDS["SOA"]), None)
    unproven = canonical if soa is None and canonical != name and message.rcode == 0 else ""
    if not unproven:
        ttl = min(ttl, _negative_ttl(data, soa)) if soa is not None else 0
    if message.rcode == NAME_ERROR:
        return Reading(NAME_ERROR, truncated=False, answer=Answer(DnsStatus.NO_NAME, (), ttl, authentic, canonical))
    referral = not message.flags & _FLAG_AUTHORITATIVE and any(record.kind == KINDS["NS"] for record in message.about)
    if soa is None and referral:
        # RFC 2308 2.2: not an absence but a server that does not recurse for us.
        return Reading(0, truncated=False, answer=Answer(DnsStatus.FAILED))
    answer = Answer(DnsStatus.NO_DATA, (), ttl, authentic, canonical)
    return Reading(0, truncated=False, answer=answer, unproven=unproven)


def _follow(data: bytes, name: str, kind: int, records: list[_Record]) -> tuple[str, int]:
    """The name after the CNAMEs of an answer, and the shortest life on the way (RFC 1035 3.6.2)."""
    ttl = TTL_LIMIT
    if kind == KINDS["CNAME"]:
        return name, ttl
    aliases = {record.owner: record for record in records if record.kind == KINDS["CNAME"]}
    for _ in range(CHAIN_LIMIT):
        alias = aliases.get(name)
        if alias is None:
            return name, ttl
        ttl = min(ttl, _seconds(alias))
        name = _read_name(data, alias.start)[0]
    raise ValueError("chain of CNAMEs is too long or a loop")


def _seconds(record: _Record) -> int:
    return min(max(record.ttl, 0), TTL_LIMIT)  # RFC 2181 8: a negative one counts as 0


def _negative_ttl(data: bytes, soa: _Record) -> int:
    """RFC 2308 5: the lesser of the SOA's own life and its MINIMUM."""
    minimum = _SOA.unpack_from(data, soa.end - _SOA.size)[4]
    return min(_seconds(soa), int(minimum))


def _read_records(data: bytes, offset: int, count: int, asked: str) -> tuple[list[_Record], int]:
    records = []
    for _ in range(count):
        if data[offset : offset + 2] == _TO_QUESTION:
            owner, offset = asked, offset + 2
        else:
            owner, offset = _read_name(data, offset)
        kind, class_, ttl, length = _RECORD.unpack_from(data, offset)
        start = offset + _RECORD.size
        offset = start + length
        if offset > len(data):
            raise ValueError("record is longer than the message")
        if class_ == _CLASS_IN or kind == _OPT:
            records.append(_Record(owner, kind, ttl, start, offset))
    return records, offset


def _read_name(data: bytes, offset: int) -> tuple[str, int]:
    """The name at `offset`, lower-case without trailing dot, and where the octets after it begin (RFC 1035 4.1.4)."""
    labels = []
    after = 0
    start = offset
    size = 1
    while length := data[offset]:
        if length < 64:
            labels.append(data[offset + 1 : offset + 1 + length])
            size += length + 1
            if size > NAME_LIMIT or len(labels[-1]) < length:
                raise ValueError("name is too long")
            offset += length + 1
        elif length < 192:
            raise ValueError("label of an unknown kind")
        else:
            target = (length & 0x3F) << 8 | data[offset + 1]
            if target >= start:
                raise ValueError("pointer of a name leads forwards")  # only backwards, so this loop ends
            after = after or offset + 2
            start = offset = target
    name = b".".join(labels)
    if name.translate(None, _PLAIN) or name.count(b".") != max(len(labels), 1) - 1:
        return ".".join(map(_escape, labels)), after or offset + 1
    return name.decode("ascii").lower(), after or offset + 1


_PLAIN: Final = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."


def _escape(label: bytes) -> str:
    """A label with octets that names do not have, in presentation form (RFC 1035 5.1)."""
    return "".join(chr(octet) if octet in _PLAIN[:-1] else f"\\{octet:03d}" for octet in label).lower()


def _read_value(data: bytes, record: _Record) -> str | MxRecord | SrvRecord | TlsaRecord:
    """The record's data in the form of model/dns.py; ValueError when it is malformed."""
    start, end = record.start, record.end
    match record.kind:
        case 1 if end - start == 4:
            return f"{data[start]}.{data[start + 1]}.{data[start + 2]}.{data[start + 3]}"
        case 28 if end - start == 16:
            return str(IPv6Address(data[start:end]))
        case 15:
            preference = _SHORT.unpack_from(data, start)[0]
            return MxRecord(preference, _whole_name(data, start + 2, end))
        case 2 | 5 | 12:
            return _whole_name(data, start, end)
        case 16:
            return _read_text(data, start, end)
        case 33:
            priority, weight, port = _SRV.unpack_from(data, start)
            return SrvRecord(priority, weight, port, _whole_name(data, start + 6, end))
        case 52:
            return _read_tlsa(data[start:end])
        case 6:
            return _read_soa(data, start, end)
    raise ValueError("record has an impossible length")


def _whole_name(data: bytes, start: int, end: int) -> str:
    name, after = _read_name(data, start)
    if after != end:
        raise ValueError("name does not fill its record")
    return name


def _read_text(data: bytes, start: int, end: int) -> str:
    """TXT strings joined (RFC 7208 3.3), one character an octet: nothing is lost whatever they hold."""
    parts = []
    while start < end:
        after = start + 1 + data[start]
        parts.append(data[start + 1 : after])
        start = after
    if start != end:
        raise ValueError("text does not fill its record")
    return b"".join(parts).decode("latin-1")


def _read_tlsa(data: bytes) -> TlsaRecord:
    """What is too short is a record all the same, one that nothing can match: not absent (RFC 7671 4.1)."""
    usage, selector, matching = data[:3] if len(data) > 2 else b"\xff\xff\xff"
    return TlsaRecord(usage, selector, matching, data[3:])


def _read_soa(data: bytes, start: int, end: int) -> str:
    primary, offset = _read_name(data, start)
    mailbox, offset = _read_name(data, offset)
    if end - offset != _SOA.size:
        raise ValueError("SOA has an impossible length")
    return f"{primary or '.'} {mailbox or '.'} {' '.join(map(str, _SOA.unpack_from(data, offset)))}"
