"""*pure*: whether a server's certificate is for one of several names, where OpenSSL can be asked about one alone.

Names are compared as RFC 9525 6.3 says: those of the certificate's alternative names count and never its common name,
and a wildcard stands for exactly one whole label, the first. An address is compared with addresses.
"""

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

_SHOWN: Final = 5  # names of a certificate in an error


def carries(certificate: Mapping[str, object], names: Sequence[str]) -> bool:
    """True when `certificate`, as `SSLObject.getpeercert` gives it, is for one of `names`."""
    held = list(_held(certificate))
    return any(_is_held(held, name.lower()) for name in names)


def names_shown(certificate: Mapping[str, object]) -> str:
    """The names it is for, in words for people."""
    held = [pattern for _, pattern in _held(certificate)]
    more = f" and {len(held) - _SHOWN} more" if len(held) > _SHOWN else ""
    return ", ".join(held[:_SHOWN]) + more if held else "no name at all"


def _held(certificate: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    found = certificate.get("subjectAltName")
    for one in found if isinstance(found, tuple) else ():
        if isinstance(one, tuple) and len(one) == 2 and one[0] in ("DNS", "IP Address"):
            yield str(one[0]), str(one[1]).lower().rstrip(".")


def _is_held(held: Sequence[tuple[str, str]], name: str) -> bool:
    address = _address(name)
    if address is not None:
        return any(kind != "DNS" and _address(one) == address for kind, one in held)
    first, _, rest = name.partition(".")
    wanted = {name, f"*.{rest}"} if first and rest else {name}
    return any(kind == "DNS" and one in wanted for kind, one in held)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
