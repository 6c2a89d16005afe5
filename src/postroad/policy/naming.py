"""Names that clients give themselves and have in DNS: what can be seen from the name alone (*pure*).

RFC 5321 4.1.1.1 asks for a fully qualified name or an address literal in EHLO; RFC 5321 4.1.3 is the form of literals.
"""

import re
from ipaddress import IPv4Address
from typing import Final

from postroad.model.address import parse_domain
from postroad.model.errors import AddressError
from postroad.model.reverse import Address, address_of

_DYNAMIC: Final = re.compile(
    r"(?:^|[.\-_0-9])(?:a?dsl|dial(?:up|in)?|dip|dyn(?:amic)?(?:ip)?|dhcp|pool|ppp(?:oe)?|cable(?:modem)?|broadband|"
    r"residential|wireless|mobile|gprs|lte|fttb|ftth|catv|hfc)(?=[.\-_0-9]|$)"
)
_NUMBERS: Final = re.compile(r"\d+")
_LITERAL_V6: Final = "ipv6:"


def literal_address(name: str) -> Address | None:
    """The address in an address literal such as [192.0.2.1] or [IPv6:2001:db8::1]; None for what is none."""
    if not (name.startswith("[") and name.endswith("]")):
        return None
    inner = name[1:-1]
    return address_of(inner[len(_LITERAL_V6) :] if inner.lower().startswith(_LITERAL_V6) else inner)


def fault_of(name: str) -> str:
    """What is to be said of the form of a HELO name: "invalid", "unqualified" (no domain), "literal", or ""."""
    if name.startswith("["):
        return "invalid" if literal_address(name) is None else "literal"
    try:
        domain = parse_domain(name)
    except AddressError:
        return "invalid"
    if address_of(domain) is not None or domain.rpartition(".")[2].isdigit():
        return "invalid"  # an address without brackets
    return "" if "." in domain else "unqualified"


def looks_generic(name: str, address: Address) -> bool:
    """True for the names that providers give to the addresses of their customers: made of the address, or "dynamic"."""
    host = name.lower()
    if _DYNAMIC.search(host):
        return True
    if not isinstance(address, IPv4Address):
        return address.packed.hex()[-16:] in host.replace("-", "").replace(".", "")
    parts = str(address).split(".")
    numbers = [number.lstrip("0") or "0" for number in _NUMBERS.findall(host)]
    if any(_in_order(numbers, wanted) for wanted in (parts, parts[::-1])):
        return True
    return f"{int(address):08x}" in host or "".join(part.zfill(3) for part in parts) in host


def _in_order(numbers: list[str], wanted: list[str]) -> bool:
    """True when at least three of `wanted`, one after the other, stand among `numbers` in that order."""
    return any(numbers[at : at + 3] in (wanted[:3], wanted[1:]) for at in range(len(numbers) - 2))
