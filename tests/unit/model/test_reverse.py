"""Names that stand for addresses: our labels are those that dnspython makes, for every address."""

from ipaddress import IPv4Address, IPv6Address

import dns.reversename
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.model.reverse import address_of, name_of, reversed_labels


@given(st.ip_addresses())
def test_the_name_of_an_address_is_the_one_that_dns_has(address: IPv4Address | IPv6Address) -> None:
    known = address_of(str(address))
    assert known is not None
    assert f"{name_of(known)}." == str(dns.reversename.from_address(str(address)))


@given(st.ip_addresses(v=6))
def test_labels_of_ipv6_are_its_digits_from_the_end(address: IPv6Address) -> None:
    labels = reversed_labels(address).split(".")
    assert len(labels) == 32
    assert int("".join(reversed(labels)), 16) == int(address)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("", "None"),
        ("mail.example.org", "None"),
        ("192.0.2.1.5", "None"),
    ],
)
def test_addresses(text: str, found: str) -> None:
    assert str(address_of(text)) == found
