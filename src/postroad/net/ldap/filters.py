"""Filters of searches and names of entries: from text to octets, and foreign text into them unharmed.

The text of a filter is that of RFC 4515, a name's that of RFC 4514. Pure. Invariant: `fill` puts a value in so that
it is taken as that value, octet for octet, and never as a part of the filter or of the name, whatever it holds.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from postroad.net.ldap.codec import pack

LENGTH_LIMIT: Final = 16 << 10
DEPTH_LIMIT: Final = 20
IN_CHAIN: Final = "1.2.840.113556.1.4.1941"  # Active Directory's rule that follows links of links

_OCTETS: Final = 0x04
_ATTRIBUTE: Final = re.compile(r"(?:[A-Za-z][A-Za-z0-9-]*|\d+(?:\.\d+)+)(?:;[A-Za-z0-9-]+)*")
_EXTENSIBLE: Final = re.compile(
    r"(?P<name>[A-Za-z0-9.;-]*)(?P<dn>:[dD][nN])?(?::(?P<rule>[A-Za-z][A-Za-z0-9-]*|\d+(?:\.\d+)+))?:=", re.ASCII
)
_PLACE: Final = re.compile(r"\{([a-z]*)\}")
_FILTER_SPECIAL: Final = frozenset(b"()*\\\0")
_DN_SPECIAL: Final = frozenset('"+,;<>\\=#')


def escape_filter(value: str) -> str:
    """`value` as the value of a filter (RFC 4515 3); what is not plain ASCII text is escaped octet by octet."""
    return "".join(
        chr(octet) if octet < 0x80 and octet not in _FILTER_SPECIAL and octet >= 0x20 else f"\\{octet:02x}"
        for octet in value.encode("utf-8", "surrogatepass")
    )


def escape_dn(value: str) -> str:
    """`value` as the value of an attribute in a name (RFC 4514 2.4)."""
    out = "".join(
        f"\\{sign}"
        if sign in _DN_SPECIAL
        else "".join(f"\\{octet:02x}" for octet in sign.encode())
        if ord(sign) < 0x20 or sign == "\x7f"
        else sign
        for sign in value
    )
    if out.startswith(" "):
        out = f"\\20{out[1:]}"
    if out.endswith(" "):
        out = f"{out[:-1]}\\20"
    return out


def fill(template: str, values: Mapping[str, str], escape: Callable[[str], str]) -> str:
    """`template` with the values for its places `{name}`, each escaped; ValueError for a place without a value."""

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name not in values:
            places = ", ".join(f"{{{known}}}" for known in values)
            raise ValueError(f"{{{name}}} stands for nothing; there are {places}")
        return escape(values[name])

    return _PLACE.sub(value, template)


def pack_filter(text: str) -> bytes:
    """The filter `text` as a search has it (RFC 4511 4.5.1.7); ValueError says what is wrong with it."""
    if len(text) > LENGTH_LIMIT:
        raise ValueError(f"a filter of {len(text)} characters; at most {LENGTH_LIMIT} are taken")
    packed, end = _filter(text, 0, DEPTH_LIMIT)
    if end != len(text):
        raise ValueError(f"nothing may stand behind the filter's last parenthesis: {text[end:]!r}")
    return packed


def _filter(text: str, at: int, depth: int) -> tuple[bytes, int]:
    """The filter that begins at `at`, and where it ends."""
    if text[at : at + 1] != "(":
        raise ValueError(f'a filter begins with "(", not with {text[at : at + 10]!r}')
    if not depth:
        raise ValueError(f"more than {DEPTH_LIMIT} parentheses in one another")
    sign = text[at + 1 : at + 2]
    if sign in {"&", "|", "!"}:
        inner, end = [], at + 2
        while text[end : end + 1] == "(":
            packed, end = _filter(text, end, depth - 1)
            inner.append(packed)
        if text[end : end + 1] != ")":
            raise ValueError('a ")" is missing')
        if sign == "!":
            if len(inner) != 1:
                raise ValueError('"!" stands before one filter')
            return pack(0xA2, inner[0]), end + 1
        return pack(0xA0 if sign == "&" else 0xA1, b"".join(inner)), end + 1
    end = text.find(")", at)
    if end < 0:
        raise ValueError('a ")" is missing')
    return _item(text[at + 1 : end]), end + 1


def _item(text: str) -> bytes:
    """One comparison."""
    if (found := _EXTENSIBLE.match(text)) is not None:
        return _extensible(found, text[found.end() :])
    left, equals, right = text.partition("=")
    if not equals:
        raise ValueError(f'"({text})" compares nothing; write it like "(mail=name@example.com)"')
    kind = {"~": 0xA8, ">": 0xA5, "<": 0xA6}.get(left[-1:], 0xA3)
    name = left if kind == 0xA3 else left[:-1]
    if _ATTRIBUTE.fullmatch(name) is None:
        raise ValueError(f'"{name}" is not the name of an attribute')
    attribute = pack(_OCTETS, name.encode())
    if kind != 0xA3 or "*" not in right:
        return pack(kind, attribute + pack(_OCTETS, _value(right)))
    if right == "*":
        return pack(0x87, name.encode())
    first, *middle, last = right.split("*")
    pieces = [pack(0x80, _value(first))] if first else []
    pieces += [pack(0x81, _value(piece)) for piece in middle if piece]
    pieces += [pack(0x82, _value(last))] if last else []
    if not pieces:
        raise ValueError(f'"({text})" has nothing between its asterisks')
    return pack(0xA4, attribute + pack(0x30, b"".join(pieces)))


def _extensible(found: re.Match[str], value: str) -> bytes:
    name, rule = found["name"], found["rule"]
    if (name and _ATTRIBUTE.fullmatch(name) is None) or not (name or rule):
        raise ValueError(f'"{found[0]}" names neither an attribute nor a rule')
    content = pack(0x81, rule.encode()) if rule else b""
    content += pack(0x82, name.encode()) if name else b""
    content += pack(0x83, _value(value))
    return pack(0xA9, content + (b"\x84\x01\xff" if found["dn"] else b""))


def _value(text: str) -> bytes:
    """The octets of an assertion's value."""
    if "\\" not in text:
        plain = text.encode("utf-8", "surrogatepass")
    else:
        first, *others = text.split("\\")
        out = [first.encode("utf-8", "surrogatepass")]
        for piece in others:
            if re.match(r"[0-9A-Fa-f]{2}", piece, re.ASCII) is None:
                raise ValueError(f'"\\{piece[:2]}" is no escape; write a backslash as "\\5c"')
            out += [bytes.fromhex(piece[:2]), piece[2:].encode("utf-8", "surrogatepass")]
        plain = b"".join(out)
    if set(text) & {"(", "*", "\0"}:
        raise ValueError(f'"{text}" has a character that is written as an escape: ( as "\\28", * as "\\2a"')
    return plain
