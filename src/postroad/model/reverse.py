"""Names in DNS that stand for an IP address (*pure*): those of its own name, and of lists that have it or not.

An IPv4 address is its four numbers turned round (RFC 1035 3.5), an IPv6 address its thirty-two hexadecimal digits
(RFC 3596 2.5); lists are asked by the same labels below their own zone (RFC 5782 2.1, RFC 5782 2.4). An IPv4 address
mapped into IPv6 counts as itself.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address

Address = IPv4Address | IPv6Address


def address_of(ip: str) -> Address | None:
    """The address in `ip`, without its scope; None when there is none."""
    try:
        address: Address = ip_address(ip.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def reversed_labels(address: Address) -> str:
    """The labels of `address`, the last part first."""
    if isinstance(address, IPv4Address):
        return ".".join(reversed(str(address).split(".")))
    return ".".join(reversed(address.packed.hex()))


def name_of(address: Address) -> str:
    """Where the PTR records of `address` are."""
    return f"{reversed_labels(address)}.{'in-addr' if isinstance(address, IPv4Address) else 'ip6'}.arpa"
