"""Names that clients give themselves, and names that providers give to customers."""

from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.policy.naming import fault_of, literal_address, looks_generic


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("mail.example.org", ""),
        ("mail.example.org.", ""),
        ("my_host.example.org", ""),
        ("localhost", "unqualified"),
        ("192.0.2.1", "invalid"),
        ("999.1", "invalid"),
        ("2001:db8::1", "invalid"),
        ("mail example", "invalid"),
        ("-x.example.org", "invalid"),
        ("", "invalid"),
        ("[192.0.2.1]", "literal"),
        ("[IPv6:2001:db8::1]", "literal"),
        ("[192.0.2]", "invalid"),
        ("[", "invalid"),
    ],
)
def test_forms(name: str, fault: str) -> None:
    assert fault_of(name) == fault


@given(st.text(max_size=300))
def test_any_name_can_be_looked_at(name: str) -> None:
    assert fault_of(name) in {"", "invalid", "unqualified", "literal"}
    looks_generic(name, ip_address("192.0.2.1"))


@given(st.ip_addresses())
def test_literals(address: object) -> None:
    text = f"[IPv6:{address}]" if ":" in str(address) else f"[{address}]"
    found = literal_address(text)
    assert found is not None
    assert str(found) in {str(address), str(getattr(address, "ipv4_mapped", ""))}


@pytest.mark.parametrize(
    "name",
    [
        "p5b0a1c2d.dip0.example.net",
        "cpe-203-0-113-77.example.net",
        "77.113.0.203.rev.example.net",
        "203-0-113-77.static.example.net",
        "host77-113-0-203.example.net",
        "ip203.0.113.77.example.net",
        "203000113077.example.net",
        "cb00714d.example.net",
        "c-0-113-77.example.net",
        "pool-12.example.net",
        "adsl.example.net",
        "user1.dynamic.example.net",
        "dyn-77.example.net",
    ],
)
def test_generic_names(name: str) -> None:
    assert looks_generic(name, IPv4Address("203.0.113.77"))


@pytest.mark.parametrize(
    "name",
    [
        "mail.example.org",
        "mx1.example.org",
        "mail-ej1-f54.google.com",
        "a8-60.smtp-out.example.com",
        "o1.p30.sendgrid.example",
        "mta203.example.org",
        "dynamics.example.com",
        "poolside.example.com",
        "wdsl.example.org",
        "swimmingpool.example.org",
    ],
)
def test_names_of_mail_servers(name: str) -> None:
    assert not looks_generic(name, IPv4Address("203.0.113.77"))


def test_generic_names_of_ipv6() -> None:
    address = ip_address("2001:db8:1:2:3:4:5:6")
    assert looks_generic("2001-0db8-0001-0002-0003-0004-0005-0006.example.net", address)
    assert not looks_generic("mail.example.org", address)
