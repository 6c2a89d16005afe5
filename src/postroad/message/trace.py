"""Trace fields: the Received field we add, and what the head of a message tells about its way.

One Received field a hop, in the form of RFC 5321 4.4; the for-clause only with one recipient, so that
nobody learns of blind copies (RFC 5321 7.2). Loops are found by counting (RFC 5321 6.3). The protocol
words are those of RFC 3848 and RFC 6531 4.3. Pure: the time is a parameter.
"""

from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from postroad.message.headers import begins_with_field, field, header_section

MESSAGE_ID_LIMIT: Final = 256  # octets kept of a Message-ID for logs
_SUSPICIOUS: Final = 64 << 10  # header sections are not that large
_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]")


class Head(Struct, frozen=True, gc=False):
    """What the header section tells: its size in octets, Received fields, the Message-ID's value.

    `waives_tls`: the sender wants the message delivered though the destination asks for TLS (RFC 8689 4.2.2).
    """

    size: int
    hops: int
    message_id: str
    waives_tls: bool = False


class Hop(Struct, frozen=True, gc=False):
    """One Received field to be: who said `helo` from `ip`, to which `host`, by which `protocol`, as which `id`.

    Without an `ip` it was a user of this machine, as `helo` has it. `tls` says what TLS agreed on, `certificate` is the
    fingerprint of the client's, when it was verified.
    """

    helo: str
    ip: str
    host: str
    protocol: str
    id: str
    recipient: str  # "" unless there is exactly one
    tls: str = ""
    certificate: str = ""


def read_head(content: bytes) -> Head:
    """The facts of the header section at the start of `content`; all of it when no blank line comes."""
    head = header_section(content)
    if len(head) > _SUSPICIOUS and not begins_with_field(head):
        head = b""  # text without a header section, up to its first blank line
    lower = head.lower()
    hops = lower.count(b"\nreceived:")
    if lower.startswith(b"received:"):
        hops += 1
    waives_tls = b"tls-required" in lower and (field(head, b"tls-required") or b"").lower() == b"no"
    return Head(len(head), hops, _message_id(head, lower), waives_tls)


def _message_id(head: bytes, lower: bytes) -> str:
    if lower.startswith(b"message-id:"):
        start = 11
    else:
        start = lower.find(b"\nmessage-id:") + 12
        if start == 11:
            return ""
    window = head[start : start + 2 * MESSAGE_ID_LIMIT].lstrip()
    line = window[: window.find(b"\n") if b"\n" in window else None]
    text = line.strip()[:MESSAGE_ID_LIMIT].decode("utf-8", "replace")
    return text if text.isprintable() else ""


def received_field(hop: Hop, date: str) -> str:
    """The field with its CRLFs, folded; `date` as from `format_date`."""
    helo = hop.helo if _PLAIN.issuperset(hop.helo) else _tame(hop.helo)
    literal = f"[IPv6:{hop.ip}]" if ":" in hop.ip else f"[{hop.ip}]"
    end = f"\r\n\tfor <{hop.recipient}>; {date}\r\n" if hop.recipient else f";\r\n\t{date}\r\n"
    if not hop.ip:
        return f"Received: by {hop.host} (Postroad, from {hop.helo})\r\n\tid {hop.id}{end}"
    if hop.tls:
        literal = f"{literal})\r\n\t(using {hop.tls}"
        if hop.certificate:
            literal += f",\r\n\tclient certificate verified, SHA-256\r\n\t{hop.certificate}"
    return f"Received: from {helo} ({literal})\r\n\tby {hop.host} (Postroad) with {hop.protocol} id {hop.id}{end}"


def _tame(helo: str) -> str:
    """A HELO name that is no domain, made harmless for a structured field."""
    return "".join(sign if sign in _PLAIN else "?" for sign in helo)


def format_date(now: int) -> str:
    """The date-time of RFC 5322 3.3 for `now` in microseconds since 1970, in UTC."""
    moment = datetime.fromtimestamp(now // 1_000_000, UTC)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[moment.weekday()]
    month = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")[moment.month - 1]
    return f"{day}, {moment.day} {month} {moment.year} {moment:%H:%M:%S} +0000"
