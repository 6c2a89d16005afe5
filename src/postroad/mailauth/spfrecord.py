"""SPF records: which TXT record of a domain is one, and what it says (*pure*).

A record is read whole before anything of it is used: whatever is wrong anywhere in it makes it permerror (RFC 7208
4.6). RFC 7208 4.5 (selecting records), RFC 7208 5 (mechanisms), RFC 7208 6 (modifiers), RFC 7208 12 (the grammar).
"""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from postroad.mailauth.spfmacro import MacroText, SpfSyntaxError, parse_domain_spec, parse_macros

_VERSION: Final = re.compile(r"v=spf1(?: |\Z)", re.IGNORECASE)
_MODIFIER: Final = re.compile(r"([A-Za-z][A-Za-z0-9_.-]*)=(.*)\Z", re.DOTALL)
_CIDR: Final = re.compile(r"(.*?)(?:/(0|[1-9]\d?))?(?://(0|[1-9]\d?\d?))?\Z", re.DOTALL)
_IPV4: Final = re.compile(r"(?:(?:0|[1-9]\d?\d?)\.){3}(?:0|[1-9]\d?\d?)\Z")
QUALIFIERS: Final = MappingProxyType({"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"})


class Mechanism(Struct, frozen=True):
    """One term that may match: its `result` if it does, and what it is about."""

    kind: str  # all, include, a, mx, ptr, ip4, ip6, exists
    result: str
    text: str
    domain: MacroText | None = None
    network: IPv4Network | IPv6Network | None = None
    bits4: int = 32
    bits6: int = 128


class Record(Struct, frozen=True):
    """A whole record."""

    mechanisms: tuple[Mechanism, ...]
    redirect: MacroText | None = None
    exp: MacroText | None = None


def records_in(texts: Iterable[str]) -> list[str]:
    """Those of the TXT records `texts` that are of SPF (RFC 7208 4.5)."""
    return [text for text in texts if _VERSION.match(text)]


def parse_record(text: str) -> Record:
    """What a record says; SpfSyntaxError tells what is wrong with it."""
    if not text.isascii():
        raise SpfSyntaxError("the record has octets above 127")
    mechanisms: list[Mechanism] = []
    modifiers: dict[str, MacroText] = {}
    for term in text[len("v=spf1") :].split(" "):
        if not term:
            continue
        named = _MODIFIER.match(term)
        if named is None:
            mechanisms.append(_mechanism(term))
            continue
        name, value = named[1].lower(), named[2]
        if name not in ("redirect", "exp"):
            parse_macros(_printable(value))  # unknown, but it must be well-formed (RFC 7208 6)
            continue
        if name in modifiers:
            raise SpfSyntaxError(f"{name}= stands there twice")
        modifiers[name] = parse_domain_spec(value)
    return Record(tuple(mechanisms), modifiers.get("redirect"), modifiers.get("exp"))


def _mechanism(term: str) -> Mechanism:
    result = QUALIFIERS.get(term[0])
    body = term if result is None else term[1:]
    name, colon, rest = body.partition(":")
    if not colon:
        name, slash, lengths = body.partition("/")
        rest = slash + lengths
    kind = name.lower()
    result = result or "pass"
    match kind:
        case "all" if not colon and not rest:
            return Mechanism(kind, result, term)
        case "include" | "exists" if colon:
            return Mechanism(kind, result, term, parse_domain_spec(rest))
        case "ptr" if not colon and not rest:
            return Mechanism(kind, result, term)
        case "ptr" if colon:
            return Mechanism(kind, result, term, parse_domain_spec(rest))
        case "a" | "mx":
            return _hosts(kind, result, term, rest, has_domain=bool(colon))
        case "ip4" | "ip6" if colon:
            return Mechanism(kind, result, term, network=_network(kind, rest))
    raise SpfSyntaxError(f'"{term[:60]}" is no mechanism')


def _hosts(kind: str, result: str, term: str, rest: str, *, has_domain: bool) -> Mechanism:
    found = _CIDR.match(rest)
    assert found is not None, "it matches everything"
    name, bits4, bits6 = found.groups()
    if has_domain == (not name):
        raise SpfSyntaxError(f'"{term[:60]}" has no domain, or no length of a network')
    lengths = int(bits4 or 32), int(bits6 or 128)
    if lengths[0] > 32 or lengths[1] > 128:
        raise SpfSyntaxError(f'"{term[:60]}": no network is that small')
    return Mechanism(kind, result, term, parse_domain_spec(name) if name else None, None, *lengths)


def _network(kind: str, text: str) -> IPv4Network | IPv6Network:
    address, slash, length = text.partition("/")
    most = 32 if kind == "ip4" else 128
    is_number = length.isascii() and length.isdigit() and (length == "0" or length[0] != "0")
    if slash and not (is_number and len(length) <= 3 and int(length) <= most):
        raise SpfSyntaxError(f'"{text[:60]}": no length of a network')
    bits = int(length) if slash else most
    try:
        if kind == "ip6":
            return IPv6Network((int(IPv6Address(_without_scope(address))), bits), strict=False)
        if _IPV4.match(address) is None:
            raise SpfSyntaxError(f'"{text[:60]}" is no IPv4 network')
        return IPv4Network((int(IPv4Address(address)), bits), strict=False)
    except ValueError:
        raise SpfSyntaxError(f'"{text[:60]}" is no {"IPv4" if kind == "ip4" else "IPv6"} network') from None


def _without_scope(text: str) -> str:
    if "%" in text:
        raise ValueError("no scope has a meaning here")
    return text


def _printable(text: str) -> str:
    if not all("!" <= char <= "~" for char in text):
        raise SpfSyntaxError("a modifier has characters that it may not have")
    return text
