"""The XCLIENT command: a trusted program says for whom it speaks.

The protocol is that of Postfix's XCLIENT_README: attributes as NAME=value in xtext, `[UNAVAILABLE]` and `[TEMPUNAVAIL]`
for what is not known. Who may say it is the caller's decision. NAME, DESTADDR and DESTPORT are understood but not
used: names of clients are looked up by ourselves. xtext: RFC 3461 4.
"""

from ipaddress import ip_address
from typing import Final

from postroad.smtp import replies
from postroad.smtp.command import RefusalError, is_xtext
from postroad.smtp.events import ClientNamed

ATTRIBUTES: Final = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN", "DESTADDR", "DESTPORT")
XCLIENT: Final = f"XCLIENT {' '.join(ATTRIBUTES)}"  # the keyword in the answer to EHLO
_UNKNOWN: Final = frozenset({"[UNAVAILABLE]", "[TEMPUNAVAIL]"})
_PORTS: Final = frozenset({"PORT", "DESTPORT"})
_ADDRESSES: Final = frozenset({"ADDR", "DESTADDR"})
VALUE_LIMIT: Final = 255  # octets


def parse_xclient(argument: bytes) -> ClientNamed:
    """The argument of XCLIENT."""
    words = argument.split()
    if not words:
        raise RefusalError(replies.SYNTAX, "XCLIENT takes attributes")
    said: dict[str, str] = {}
    for word in words:
        name, value = _attribute(word)
        if name in said:
            raise RefusalError(replies.SYNTAX, f"XCLIENT has {name} twice")
        said[name] = value
    return ClientNamed(
        ip=said.get("ADDR"),
        port=int(said["PORT"] or 0) if "PORT" in said else None,
        protocol=said.get("PROTO"),
        helo=said.get("HELO"),
        login=said.get("LOGIN"),
    )


def _attribute(word: bytes) -> tuple[str, str]:
    """Its name and what it says; "" for what is not known."""
    keyword, equals, raw = word.partition(b"=")
    name = keyword.decode("ascii", "replace").upper()
    text = raw.decode("ascii", "replace")
    if name not in ATTRIBUTES or not equals or not is_xtext(text):
        raise RefusalError(replies.SYNTAX, f"XCLIENT with {word[:64]!r}")
    if text.upper() in _UNKNOWN:
        return name, ""
    value = decode_xtext(text)
    if not value or len(value) > VALUE_LIMIT or not value.isprintable():
        raise RefusalError(replies.SYNTAX, f"XCLIENT with {word[:64]!r}")
    if name in _PORTS and not (value.isascii() and value.isdigit() and len(value) <= 5 and int(value) <= 65535):
        raise RefusalError(replies.SYNTAX, f"XCLIENT with no port in {word[:64]!r}")
    if name == "PROTO":
        value = value.upper()
        if value not in {"SMTP", "ESMTP"}:
            raise RefusalError(replies.SYNTAX, f"XCLIENT with an unknown protocol {word[:64]!r}")
    return name, _address(value) if name in _ADDRESSES else value


def _address(value: str) -> str:
    """As the kernel would show it; an IPv4 address mapped into IPv6 is itself."""
    text = value[5:] if value[:5].upper() == "IPV6:" else value
    try:
        address = ip_address(text)
    except ValueError:
        raise RefusalError(replies.SYNTAX, f"XCLIENT with no address in {value[:64]!r}") from None
    if "%" in text:
        raise RefusalError(replies.SYNTAX, "XCLIENT with an address of a link")
    return str(getattr(address, "ipv4_mapped", None) or address)


def decode_xtext(text: str) -> str:
    """What xtext stands for; octets that are no UTF-8 become replacement characters (RFC 3461 4)."""
    first, *rest = text.split("+")
    octets = first.encode("ascii")
    for part in rest:
        octets += bytes.fromhex(part[:2]) + part[2:].encode("ascii")
    return octets.decode("utf-8", "replace")
