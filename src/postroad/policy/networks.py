"""Is an address, as text, in one of some networks (*pure*).

Remembered for the clients that come again and again, so that a look costs no parsing.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

_REMEMBERED: Final = 4096  # addresses


def membership(networks: Iterable[IPv4Network | IPv6Network]) -> Callable[[str], bool]:
    """A function that tells it; an IPv4 address mapped into IPv6 counts as itself, what is no address is in none."""
    known = tuple(networks)

    @lru_cache(_REMEMBERED)
    def is_in(ip: str) -> bool:
        try:
            address = ip_address(ip.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in known)

    return is_in
