"""The addresses of this host are those that can be bound here."""

import socket
from ipaddress import ip_address

from postroad.net.addresses import host_addresses, own_endpoints


def test_every_address_is_of_this_host() -> None:
    found = host_addresses()
    assert {"127.0.0.1", "::1"} <= set(found)
    for address in found:
        if ip_address(address).is_link_local:
            continue  # needs a scope to be bound
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family) as sock:
            sock.bind((address, 0))


def test_a_wildcard_is_every_address_of_its_family() -> None:
    own = own_endpoints([("0.0.0.0", 25), ("::", 26), ("192.0.2.1", 27)])
    assert {("127.0.0.1", 25), ("::1", 26), ("192.0.2.1", 27)} <= own
    assert ("::1", 25) not in own
    assert ("127.0.0.1", 26) not in own
    assert not any(ip_address(address).is_unspecified for address, _ in own)
