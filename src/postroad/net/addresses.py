"""The addresses of this host, so that mail is never sent round to ourselves.

A listener bound to 0.0.0.0 or [::] is reached at every address of the host: the kernel's tables under
/proc/net say which those are. Read at start; an address that comes later is caught by the hop count.
"""

import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final

_ROUTES_V4: Final = Path("/proc/net/fib_trie")
_ADDRESSES_V6: Final = Path("/proc/net/if_inet6")


def own_endpoints(bound: Iterable[tuple[str, int]]) -> frozenset[tuple[str, int]]:
    """Every address and port by which the listeners bound to `bound` can be reached from this host."""
    return frozenset((address, port) for ip, port in bound for address in _reached(ip))


def host_addresses() -> list[str]:
    """All unicast addresses of this host, in text form; only the loopback's where the kernel does not tell."""
    found = {"127.0.0.1", "::1", *_read_v4(_lines(_ROUTES_V4)), *_read_v6(_lines(_ADDRESSES_V6))}
    return sorted(found)


def is_loopback(address: str) -> bool:
    """True when what is said to the IP address `address` does not leave this host."""
    return ip_address(address.partition("%")[0]).is_loopback


def is_own_address(address: str) -> bool:
    """True when a connection can be made from the IP address `address`: the kernel is asked, nothing is sent."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def _reached(ip: str) -> list[str]:
    address = ip_address(ip)
    if not address.is_unspecified:
        return [str(address)]
    return [text for text in host_addresses() if ip_address(text).version == address.version]


def _read_v4(lines: list[str]) -> set[str]:
    """An address is the last `|-- a.b.c.d` above a line `/32 host LOCAL`."""
    found = set()
    last = ""
    for line in lines:
        words = line.split()
        if words[:1] == ["|--"] and len(words) == 2:
            last = words[1]
        elif words == ["/32", "host", "LOCAL"] and last:
            found.add(str(IPv4Address(last)))
    return found


def _read_v6(lines: list[str]) -> set[str]:
    """The first word of each line is an address in 32 hexadecimal digits."""
    words = [line.split()[0] for line in lines if line.split()]
    return {str(IPv6Address(int(word, 16))) for word in words if len(word) == 32}


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("ascii", "replace").splitlines()
    except OSError:
        return []
