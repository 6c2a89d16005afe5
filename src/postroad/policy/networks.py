"""Networks in look-up form: whether an address is in one of them costs a look for each length of prefix (*pure*).

An IPv4 address mapped into IPv6 counts as itself, here as everywhere (RFC 4291 2.5.5.2).
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network

from postroad.model.reverse import address_of

Number = tuple[int, int]  # 32 or 128 bits, and the address as a number


@lru_cache(maxsize=8192)  # a pure function of its argument; most clients connect again
def number_of(ip: str) -> Number | None:
    """The address `ip` as a number; None for what is none, such as the address of a drop."""
    address = address_of(ip)
    return None if address is None else (address.max_prefixlen, int(address))


def is_within(ip: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    """True when `ip` is in one of `networks`; for a few of them, or asked seldom."""
    address = address_of(ip)
    return address is not None and any(address in network for network in networks)


def is_vast(network: IPv4Network | IPv6Network) -> bool:
    """True for what can hardly be anybody's own: more than the largest block that one organisation gets."""
    return network.prefixlen < (8 if network.version == 4 else 20) and not network.is_private


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """A network or one address; ValueError tells what is accepted."""
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(f'{error}; write a network like "10.0.0.0/8", or an address') from None


def compile_networks(texts: Iterable[str]) -> "NetworkTable":
    """The table of `texts`; ValueError for one that is no network."""
    return NetworkTable(map(parse_network, texts))


class NetworkTable:
    """Some networks."""

    __slots__ = ("_by_length",)

    def __init__(self, networks: Iterable[IPv4Network | IPv6Network]) -> None:
        """Take `networks` in any order."""
        found: dict[tuple[int, int], set[int]] = {}
        for network in networks:
            bits = network.max_prefixlen
            shift = bits - network.prefixlen
            found.setdefault((bits, shift), set()).add(int(network.network_address) >> shift)
        self._by_length = tuple((bits, shift, frozenset(numbers)) for (bits, shift), numbers in found.items())

    def __call__(self, number: Number | None) -> bool:
        """True when the address is in one of them."""
        if number is None:
            return False
        bits, value = number
        return any(bits == width and value >> shift in numbers for width, shift, numbers in self._by_length)


def membership(networks: Iterable[IPv4Network | IPv6Network]) -> Callable[[str], bool]:
    """A function that tells of an address as text whether it is in one of them."""
    table = NetworkTable(networks)
    return lambda ip: table(number_of(ip))
