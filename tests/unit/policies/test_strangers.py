"""HELO names, reverse DNS and senders' domains of strangers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.policies.dnsbl import dnsbl
from postroad.policies.helo import helo
from postroad.policies.ptr import ptr
from postroad.policies.sender_domain import sender_domain
from postroad.policy.context import RcptContext
from postroad.policy.dnslists import DnsListSettings
from postroad.policy.findings import HeloResult, PtrResult, SenderDomainResult
from postroad.policy.naming import fault_of
from postroad.policy.sample import sample
from tests.support.dns import FakeLookup
from tests.support.strangers import OURSELVES, Noted, answered, shown

ADDRESS = "203.0.113.9"
REVERSE = ("9.113.0.203.in-addr.arpa", "PTR")
ALL = {"own", "invalid", "unqualified", "literal", "unresolvable"}

DNS = FakeLookup(
    {
        ("mail.example.org", "A"): ["93.184.216.34"],
        ("six.example.org", "AAAA"): ["2606:2800:220:1::1"],
        ("mx.example.org", "MX"): ["10 mail.example.org"],
        ("text.example.org", "TXT"): ["v=spf1 -all"],
        ("null.example.org", "MX"): ["0 ."],
        ("inside.example.org", "MX"): ["10 host.inside.example.org"],
        ("host.inside.example.org", "A"): ["10.0.0.5"],
        ("loop.example.org", "A"): ["127.0.0.1"],
        ("gone.example.org", "MX"): ["10 nowhere.example.org"],
        ("both.example.org", "MX"): ["10 host.inside.example.org", "20 mail.example.org"],
        ("half.example.org", "MX"): ["10 nowhere.example.org", "20 silent.example.org"],
    },
    silent=["silent.example.org"],
    failing=["failing.example.org"],
)


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ("mail.example.org", ""),
        ("six.example.org", ""),
        ("mx.example.org.", ""),
        ("text.example.org", "unresolvable"),
        ("nowhere.example.org", "unresolvable"),
        ("relay.example.com", "own"),
        ("RELAY.Example.com.", "own"),
        ("[192.0.2.25]", "own"),
        ("[IPv6:2001:db8::25]", "own"),
        ("[203.0.113.9]", "literal"),
        ("mta.example.com", "own"),
        ("localhost", "unqualified"),
        ("203.0.113.9", "invalid"),
        ("", "invalid"),
        ("a b", "invalid"),
    ],
)
async def test_helo(name: str, finding: str) -> None:
    for action, answer in (("reject", "reject 5.7.1"), ("defer", "defer 4.7.1"), ("tag", f"tag helo:{finding}")):
        ctx = sample(RcptContext, helo=name)
        actions = dict.fromkeys(ALL, action)
        given = helo(ctx, dns=DNS, ourselves=OURSELVES, own_names=("*.example.com",), **actions)  # type: ignore[arg-type]
        assert shown(await answered(given)) == (answer if finding else "")
        result = ctx.facts.get(HeloResult)
        assert result is not None
        assert result.findings == ((finding,) if finding else ())
    ignored = dict.fromkeys(ALL, "ignore")
    ctx = sample(RcptContext, helo=name)
    assert await answered(helo(ctx, dns=DNS, ourselves=OURSELVES, **ignored)) is None  # type: ignore[arg-type]


@given(st.text(max_size=100), st.text(alphabet="ab.-_[]:@ \u00e9\x00", max_size=40))
async def test_whatever_a_client_calls_itself_is_judged(name: str, other: str) -> None:
    for one in (name, other):
        ctx = sample(RcptContext, helo=one)
        strict = helo(ctx, dns=FakeLookup(), ourselves=OURSELVES, unqualified="reject", unresolvable="reject")
        assert shown(await answered(strict)) == ("" if fault_of(one) == "literal" else "reject 5.7.1")
        lists = (DnsListSettings(zone="h.example", of="helo"),)
        noted = Noted()
        listed = dnsbl(ctx, dns=FakeLookup(), ourselves=OURSELVES, faults=noted.faults, lists=lists)
        assert await answered(listed) is None
        assert noted.told() == []


@pytest.mark.parametrize("name", ["silent.example.org", "failing.example.org"])
async def test_helo_and_a_fault_of_dns(name: str) -> None:
    ctx = sample(RcptContext, helo=name)
    assert await answered(helo(ctx, dns=DNS, ourselves=OURSELVES, unresolvable="reject")) is None
    given = helo(ctx, dns=DNS, ourselves=OURSELVES, unresolvable="reject", on_fault="defer")
    assert shown(await answered(given)) == "defer 4.4.3"


async def test_helo_is_looked_up_once_a_transaction() -> None:
    lookup = FakeLookup()
    ctx = sample(RcptContext, helo="nowhere.example.org")
    assert shown(await answered(helo(ctx, dns=lookup, ourselves=OURSELVES, unresolvable="reject"))) == "reject 5.7.1"
    asked = len(lookup.asked)
    assert shown(helo(ctx, dns=lookup, ourselves=OURSELVES)) == "tag helo:unresolvable"  # type: ignore[arg-type]
    assert len(lookup.asked) == asked


@pytest.mark.parametrize(
    ("zone", "finding"),
    [
        ({}, "missing"),
        ({REVERSE: ["mail.example.net"], ("mail.example.net", "A"): [ADDRESS]}, ""),
        ({REVERSE: ["a.example.net", "mail.example.net"], ("mail.example.net", "A"): ["192.0.2.1", ADDRESS]}, ""),
        ({REVERSE: ["mail.example.net"], ("mail.example.net", "A"): ["192.0.2.1"]}, "unconfirmed"),
        ({REVERSE: ["mail.example.net"]}, "unconfirmed"),
        ({REVERSE: ["cpe-203-0-113-9.example.net"], ("cpe-203-0-113-9.example.net", "A"): [ADDRESS]}, "generic"),
        (
            {
                REVERSE: ["dyn-9.example.net", "mail.example.net"],
                ("dyn-9.example.net", "A"): [ADDRESS],
                ("mail.example.net", "A"): [ADDRESS],
            },
            "",
        ),
    ],
)
async def test_ptr(zone: dict[tuple[str, str], list[str]], finding: str) -> None:
    for action, answer in (("reject", "reject 5.7.25"), ("defer", "defer 4.7.25"), ("tag", f"tag ptr:{finding}")):
        ctx = sample(RcptContext, ip=ADDRESS)
        actions = dict.fromkeys(("missing", "unconfirmed", "generic"), action)
        given = ptr(ctx, dns=FakeLookup(zone), ourselves=OURSELVES, **actions)  # type: ignore[arg-type]
        assert shown(await answered(given)) == (answer if finding else "")
        result = ctx.facts.get(PtrResult)
        assert result is not None
        assert result.findings == ((finding,) if finding else ())


async def test_ptr_of_ipv6_is_confirmed_by_ipv6() -> None:
    name = "9" + ".0" * 23 + ".8.b.d.0.1.0.0.2.ip6.arpa"
    lookup = FakeLookup({(name, "PTR"): ["mail.example.net"], ("mail.example.net", "AAAA"): ["2001:DB8::9"]})
    ctx = sample(RcptContext, ip="2001:db8::9")
    assert await answered(ptr(ctx, dns=lookup, ourselves=OURSELVES, missing="reject", unconfirmed="reject")) is None
    result = ctx.facts.get(PtrResult)
    assert result is not None
    assert result.names == ("mail.example.net",)


@pytest.mark.parametrize(
    "lookup",
    [
        FakeLookup(silent=[REVERSE[0]]),
        FakeLookup({REVERSE: ["mail.example.net"]}, failing=["mail.example.net"]),
    ],
)
async def test_ptr_and_a_fault_of_dns(lookup: FakeLookup) -> None:
    ctx = sample(RcptContext, ip=ADDRESS)
    assert await answered(ptr(ctx, dns=lookup, ourselves=OURSELVES, missing="reject", unconfirmed="reject")) is None
    given = ptr(ctx, dns=lookup, ourselves=OURSELVES, missing="reject", on_fault="defer")  # known by now
    assert shown(given) == "defer 4.4.3"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sender", "finding", "enhanced"),
    [
        ("a@mail.example.org", "", ""),
        ("a@six.example.org", "", ""),
        ("a@mx.example.org", "", ""),
        ("a@both.example.org", "", ""),
        ("", "", ""),
        ("a@nowhere.example.org", "unknown", "1.8"),
        ("a@text.example.org", "unknown", "1.8"),
        ("a@gone.example.org", "unknown", "1.8"),
        ("a@null.example.org", "null_mx", "7.27"),
        ("a@inside.example.org", "private", "1.8"),
        ("a@loop.example.org", "private", "1.8"),
        ("a@[203.0.113.9]", "literal", "1.8"),
    ],
)
async def test_sender_domain(sender: str, finding: str, enhanced: str) -> None:
    tag = f"tag sender_domain:{finding}"
    for action, answer in (("reject", f"reject 5.{enhanced}"), ("defer", f"defer 4.{enhanced}"), ("tag", tag)):
        ctx = sample(RcptContext, sender=sender)
        actions = dict.fromkeys(("unknown", "null_mx", "private", "literal"), action)
        given = sender_domain(ctx, dns=DNS, ourselves=OURSELVES, **actions)  # type: ignore[arg-type]
        assert shown(await answered(given)) == (answer if finding else "")
        result = ctx.facts.get(SenderDomainResult)
        assert sender == "" or (result is not None and result.findings == ((finding,) if finding else ()))


@pytest.mark.parametrize("domain", ["silent.example.org", "failing.example.org", "half.example.org"])
async def test_a_sender_whose_domain_cannot_be_looked_up_now_is_never_refused_for_good(domain: str) -> None:
    ctx = sample(RcptContext, sender=f"a@{domain}")
    assert shown(await answered(sender_domain(ctx, dns=DNS, ourselves=OURSELVES))) == "defer 4.4.3"
    assert await answered(sender_domain(ctx, dns=DNS, ourselves=OURSELVES, on_fault="ignore")) is None


async def test_exempt_domains_are_not_looked_up() -> None:
    lookup = FakeLookup()
    ctx = sample(RcptContext, sender="a@deep.example.org")
    given = sender_domain(ctx, dns=lookup, ourselves=OURSELVES, exempt_domains=("*.example.org",))
    assert given is None
    assert lookup.asked == []
