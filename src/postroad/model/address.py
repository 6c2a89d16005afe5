"""Addresses: the only parser of them, and the typed form everything above uses.

Every form of RFC 5321 4.1.2 and 4.1.3: dot-atoms, quoted local parts, address literals for IPv4,
IPv6 and general ones, source routes (stripped, RFC 5321 appendix C), the null reverse-path, the
bare postmaster (RFC 5321 4.1.1.3) and internationalised addresses (RFC 6531 3.3). Limits: RFC 5321
4.5.3.1.1 to 4.5.3.1.3. The common case costs a few C calls and no loop.
"""

from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

import idna
from msgspec import Struct

from postroad.model.errors import AddressError

_LETTERS: Final = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_DOT_ATOM: Final = _LETTERS + b"!#$%&'*+-/=?^_`{|}~."
_LDH: Final = _LETTERS + b"-."
_LDH_LENIENT: Final = _LDH + b"_"  # underscores are no host names, but real mail domains have them
LOCAL_LIMIT: Final = 64  # RFC 5321 4.5.3.1.1
DOMAIN_LIMIT: Final = 255  # RFC 5321 4.5.3.1.2
PATH_LIMIT: Final = 1024  # RFC 5321 4.5.3.1.3 asks for 256; room for UTF-8 and source routes


class Mailbox(Struct, frozen=True, gc=False, omit_defaults=True):
    """One address.

    `text` is the wire form without angle brackets ("" is the null reverse-path), `local` the local
    part without quotes, `domain` the look-up form: lower-case, A-labels, or a literal in brackets;
    "" for the null reverse-path and the bare postmaster.
    """

    text: str = ""
    local: str = ""
    domain: str = ""

    @property
    def is_null(self) -> bool:
        """True for the null reverse-path (RFC 5321 4.5.5)."""
        return not self.text

    @property
    def is_literal(self) -> bool:
        """True for an address literal such as user@[192.0.2.1] (RFC 5321 4.1.3)."""
        return self.domain.startswith("[")

    @property
    def needs_utf8(self) -> bool:
        """True when only a next hop with SMTPUTF8 can take this address (RFC 6531 3.2)."""
        return not self.text.isascii()

    @property
    def has_routing(self) -> bool:
        """True when the local part itself asks to be routed on: percent hack, bang path or a quoted at sign."""
        local = self.local
        return "%" in local or "!" in local or "@" in local

    def __str__(self) -> str:
        """The wire form."""
        return self.text


NULL_PATH: Final = Mailbox()


def parse_path(raw: bytes, *, utf8: bool = False) -> Mailbox:
    """The mailbox in `raw`, the octets between the angle brackets; AddressError says what is wrong.

    `utf8` allows octets above 127, to be given only after SMTPUTF8 (RFC 6531 3.4).
    """
    if not raw:
        return NULL_PATH
    if len(raw) > PATH_LIMIT:
        raise AddressError(f"path of {len(raw)} octets is too long")
    if raw[:1] == b"@":
        raw = _without_source_route(raw)
    local_raw, at, domain_raw = raw.rpartition(b"@")
    if not at:
        return _bare_local(raw, utf8=utf8)
    if not local_raw.translate(None, _DOT_ATOM) and local_raw[:1] not in b"." and local_raw[-1:] != b".":
        if b".." in local_raw:
            raise AddressError("local part has two dots in a row")
        local = wire_local = local_raw.decode("ascii")
    else:
        local, wire_local = _parse_unusual_local(local_raw, utf8=utf8)
    if len(local_raw) > LOCAL_LIMIT:
        raise AddressError(f"local part of {len(local_raw)} octets is longer than {LOCAL_LIMIT}")
    domain, wire_domain = _parse_domain_octets(domain_raw, utf8=utf8)
    return Mailbox(f"{wire_local}@{wire_domain}", local, domain)


def parse_mailbox(text: str) -> Mailbox:
    """The mailbox in `text`, as in a configuration or on a command line: UTF-8 allowed, never null."""
    mailbox = parse_path(text.encode("utf-8", "surrogateescape"), utf8=True)
    if mailbox.is_null:
        raise AddressError("the address is empty")
    return mailbox


def parse_domain(text: str) -> str:
    """The look-up form of the domain or literal `text`: lower-case, A-labels, no trailing dot."""
    return _parse_domain_octets(text.encode("utf-8", "surrogateescape"), utf8=True)[0]


def _without_source_route(raw: bytes) -> bytes:
    # RFC 5321 appendix C: "@one,@two:user@three" is taken as user@three.
    route, colon, rest = raw.partition(b":")
    if not colon or not rest:
        raise AddressError("source route without an address after it")
    for hop in route.split(b","):
        if hop[:1] != b"@":
            raise AddressError("source route is malformed")
        _parse_domain_octets(hop[1:], utf8=False)
    return rest


def _bare_local(raw: bytes, *, utf8: bool) -> Mailbox:
    # RFC 5321 4.1.1.3: only <Postmaster> may come without a domain.
    if raw.lower() == b"postmaster":
        return Mailbox(raw.decode("ascii"), "postmaster", "")
    raise AddressError(
        "address without a domain" if _is_text(raw, utf8=utf8) else "address has octets that are not allowed"
    )


def _is_text(raw: bytes, *, utf8: bool) -> bool:
    if raw.isascii():
        return raw.decode("ascii").isprintable()
    if not utf8:
        return False
    try:
        return raw.decode("utf-8").isprintable()
    except UnicodeDecodeError:
        return False


def _parse_unusual_local(raw: bytes, *, utf8: bool) -> tuple[str, str]:
    """A quoted or internationalised local part, as (value, wire form)."""
    if not raw:
        raise AddressError("local part is empty")
    if not _is_text(raw, utf8=utf8):
        raise AddressError("local part has octets that are not allowed")
    text = raw.decode("utf-8")
    if text[0] == '"':
        return _unquote(text), text
    rest = raw.translate(None, _DOT_ATOM)
    if rest.isascii() and rest:
        raise AddressError(f"local part has {rest[:1].decode()!r} outside quotes")
    if any(ord(sign) < 128 for sign in rest.decode("utf-8")):
        raise AddressError("local part has characters that need quotes")
    if text[0] == "." or text[-1] == "." or ".." in text:
        raise AddressError("local part has a dot at an end or two in a row")
    return text, text


def _unquote(text: str) -> str:
    # RFC 5321 4.1.2: Quoted-string = DQUOTE *QcontentSMTP DQUOTE.
    if len(text) < 2 or text[-1] != '"':
        raise AddressError("quoted local part does not end with a quote")
    out = []
    escaped = False
    for sign in text[1:-1]:
        if escaped:
            out.append(sign)
            escaped = False
        elif sign == "\\":
            escaped = True
        elif sign == '"':
            raise AddressError("quote inside a quoted local part")
        else:
            out.append(sign)
    if escaped:
        raise AddressError("quoted local part ends in a backslash")
    return "".join(out)


@lru_cache(maxsize=4096)  # a pure function of its arguments; few domains make most of the mail
def _parse_domain_octets(raw: bytes, *, utf8: bool) -> tuple[str, str]:
    """A domain or literal, as (look-up form, wire form)."""
    if not raw:
        raise AddressError("domain is empty")
    if raw[:1] == b"[":
        return _parse_literal(raw)
    if raw[-1:] == b".":
        raw = raw[:-1]  # a trailing dot is no part of the name on the wire, but people send it
    if raw.isascii():
        return _parse_ascii_domain(raw)
    if not utf8:
        raise AddressError("domain has octets above 127 without SMTPUTF8")
    try:
        text = raw.decode("utf-8")
        looked_up = idna.encode(text, uts46=True).decode("ascii").lower()
    except (UnicodeError, idna.IDNAError) as error:
        raise AddressError(f"internationalised domain is not valid: {error}") from None
    if not text.isprintable():
        raise AddressError("domain has a character that does not print")
    if len(looked_up) > DOMAIN_LIMIT:
        raise AddressError(f"domain is longer than {DOMAIN_LIMIT} octets")
    return looked_up, text


def _parse_ascii_domain(raw: bytes) -> tuple[str, str]:
    if raw.translate(None, _LDH_LENIENT):
        raise AddressError("domain has a character that is not allowed")
    if len(raw) > DOMAIN_LIMIT:
        raise AddressError(f"domain is longer than {DOMAIN_LIMIT} octets")
    if raw[:1] in b".-" or raw[-1:] in (b"-", b".") or b".." in raw or b".-" in raw or b"-." in raw:
        raise AddressError("domain has an empty label, or a label with a hyphen at an end")
    text = raw.decode("ascii")
    if len(text) > 63 and any(len(label) > 63 for label in text.split(".")):
        raise AddressError("domain has a label of more than 63 octets")
    return text.lower(), text


def _parse_literal(raw: bytes) -> tuple[str, str]:
    """RFC 5321 4.1.3: IPv4, IPv6 and general address literals, in canonical look-up form."""
    if raw[-1:] != b"]" or not raw.isascii():
        raise AddressError("address literal is malformed")
    text = raw.decode("ascii")
    inner = text[1:-1]
    tag, colon, rest = inner.partition(":")
    try:
        if not colon:
            return f"[{IPv4Address(inner)}]", text
        if tag.lower() == "ipv6" and "%" not in rest:  # a scope is no part of it, and may hold anything
            return f"[ipv6:{IPv6Address(rest)}]", text
    except (AddressValueError, ValueError):
        raise AddressError("address literal holds no valid address") from None
    raise AddressError("address literal of an unknown kind")
