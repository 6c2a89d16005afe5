"""Block and allow lists: several at a time, by weight, with answers that are none."""

import asyncio

import pytest

from postroad.model.dns import Answer, DnsStatus, Lookup
from postroad.policies.dnsbl import dnsbl
from postroad.policy.context import RcptContext
from postroad.policy.dnslists import DnsListSettings
from postroad.policy.findings import DnsListResult
from postroad.policy.sample import sample
from postroad.policy.settings import AccessSettings
from postroad.policy.verdict import Adjust, Defer, Reject
from tests.support.dns import FakeLookup
from tests.support.strangers import OURSELVES, Noted, answered, shown

STRANGER = sample(RcptContext, ip="203.0.113.9", helo="mail.example.net", sender="a@example.org")
A = ("9.113.0.203.a.example", "A")
B = ("9.113.0.203.b.example", "A")
WL = ("9.113.0.203.wl.example", "A")
LISTS = (
    DnsListSettings(zone="a.example", weight=2, codes=("127.0.0.2-11",), help="see https://a.example/?q={subject}"),
    DnsListSettings(zone="b.example", name="second", weight=3),
    DnsListSettings(zone="wl.example", weight=-4),
)


def fresh(**other: object) -> RcptContext:
    return sample(RcptContext, **{"ip": "203.0.113.9", "helo": "mail.example.net", **other})  # type: ignore[arg-type]


async def judged(dns: Lookup, ctx: RcptContext | None = None, **options: object) -> str:
    noted = Noted()
    given: dict[str, object] = {"lists": LISTS, "reject": 5.0, "defer": 3.0, "tag": 1.0, **options}
    return shown(
        await answered(dnsbl(ctx or fresh(), dns=dns, ourselves=OURSELVES, faults=noted.faults, **given))  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("zones", "answer"),
    [
        ({}, ""),
        ({A: ["127.0.0.2"]}, "tag dnsbl"),
        ({B: ["127.0.0.2"]}, "defer 4.7.1"),
        ({A: ["127.0.0.2"], B: ["127.0.0.2"]}, "reject 5.7.1"),
        ({A: ["127.0.0.2"], B: ["127.0.0.2"], WL: ["127.0.9.1"]}, "tag dnsbl"),
        ({A: ["127.0.0.12"]}, ""),
        ({A: ["127.255.255.254"], B: ["93.184.216.34"]}, ""),
        ({WL: ["127.0.9.1"]}, ""),
    ],
)
async def test_weights_add_up(zones: dict[tuple[str, str], list[str]], answer: str) -> None:
    assert await judged(FakeLookup(zones)) == answer


async def test_the_reply_names_the_heaviest_list_and_where_to_ask() -> None:
    noted = Noted()
    lookup = FakeLookup({A: ["127.0.0.2"], B: ["127.0.0.3"]})
    answer = await answered(
        dnsbl(STRANGER, dns=lookup, ourselves=OURSELVES, faults=noted.faults, lists=LISTS[:2], reject=1.0)
    )
    assert isinstance(answer, Reject)
    assert answer.reply.text == "Service unavailable; [203.0.113.9] is listed by second"
    assert answer.reason == "dnsbl: a.example has 203.0.113.9 (127.0.0.2) +2, second has 203.0.113.9 (127.0.0.3) +3: 5"
    one = await answered(
        dnsbl(fresh(), dns=lookup, ourselves=OURSELVES, faults=noted.faults, lists=LISTS[:1], reject=0.0, defer=2.0)
    )
    assert isinstance(one, Defer)
    assert one.reply.text.endswith("listed by a.example; see https://a.example/?q=203.0.113.9")


async def test_the_result_is_a_fact_and_is_asked_for_once_a_transaction() -> None:
    ctx = fresh()
    lookup = FakeLookup({A: ["127.0.0.2"], B: ["127.0.0.2"]})
    assert await judged(lookup, ctx) == "reject 5.7.1"
    result = ctx.facts.get(DnsListResult)
    assert result is not None
    assert (result.score, [hit.list for hit in result.hits]) == (5.0, ["a.example", "second"])
    assert len(lookup.asked) == 3
    again = dnsbl(ctx, dns=lookup, ourselves=OURSELVES, faults=Noted().faults, lists=LISTS, reject=5.0)
    assert isinstance(again, Reject)  # at once, without a task
    assert len(lookup.asked) == 3


async def test_another_policy_counts_its_own_lists_alone() -> None:
    ctx = fresh()
    lookup = FakeLookup({A: ["127.0.0.2"], B: ["127.0.0.2"]})
    assert await judged(lookup, ctx, lists=LISTS[:1], reject=9.0, defer=0.0) == "tag dnsbl"
    assert await judged(lookup, ctx, lists=LISTS[1:], reject=9.0) == "defer 4.7.1"
    result = ctx.facts.get(DnsListResult)
    assert result is not None
    assert result.score == 5.0


async def test_one_list_may_weigh_more_in_another_policy() -> None:
    ctx = fresh()
    lookup = FakeLookup({A: ["127.0.0.2"]})
    light, heavy = (DnsListSettings(zone="a.example", weight=weight) for weight in (1, 9))
    assert await judged(lookup, ctx, lists=(light,)) == "tag dnsbl"
    assert await judged(lookup, ctx, lists=(heavy,)) == "reject 5.7.1"


async def test_one_list_may_weigh_its_codes_differently() -> None:
    kinds = tuple(DnsListSettings(zone="a.example", weight=int(code), codes=(f"127.0.0.{code}",)) for code in "24")
    assert await judged(FakeLookup({A: ["127.0.0.2"]}), lists=kinds) == "tag dnsbl"
    assert await judged(FakeLookup({A: ["127.0.0.4"]}), lists=kinds) == "defer 4.7.1"
    assert await judged(FakeLookup({A: ["127.0.0.4", "127.0.0.2"]}), lists=kinds) == "reject 5.7.1"


async def test_ipv6_clients() -> None:
    nibbles = "9" + ".0" * 23 + ".8.b.d.0.1.0.0.2"
    lookup = FakeLookup({(f"{nibbles}.bl.example", "A"): ["127.0.0.2"]})
    assert await judged(lookup, fresh(ip="2001:db8::9"), lists=(), zones=("bl.example",), reject=1.0) == "reject 5.7.1"


async def test_lists_of_names() -> None:
    lists = (
        DnsListSettings(zone="h.example", of="helo"),
        DnsListSettings(zone="s.example", of="sender"),
        DnsListSettings(zone="p.example", of="ptr"),
    )
    lookup = FakeLookup(
        {
            ("mail.example.net.h.example", "A"): ["127.0.0.2"],
            ("example.org.s.example", "A"): ["127.0.1.2"],
            ("9.113.0.203.in-addr.arpa", "PTR"): ["mx.example.net", "forged.example.com"],
            ("mx.example.net", "A"): ["203.0.113.9"],
            ("mx.example.net.p.example", "A"): ["127.0.0.2"],
            ("forged.example.com.p.example", "A"): ["127.0.0.2"],
        }
    )
    ctx = fresh()
    assert await judged(lookup, ctx, lists=lists, reject=3.0) == "reject 5.7.1"
    result = ctx.facts.get(DnsListResult)
    assert result is not None
    assert [hit.subject for hit in result.hits] == ["mail.example.net", "example.org", "mx.example.net"]
    assert await judged(lookup, fresh(sender=""), lists=lists[1:2], reject=1.0) == ""


async def test_a_fault_of_dns_refuses_nobody_and_is_told_once() -> None:
    noted = Noted()
    lookup = FakeLookup({B: ["127.255.255.252"]}, failing=[A], silent=[WL])
    for _ in range(3):
        answer = dnsbl(fresh(), dns=lookup, ourselves=OURSELVES, faults=noted.faults, lists=LISTS, reject=0.5)
        assert await answered(answer) is None
    told = [
        "a.example: no answer: SERVFAIL",
        "second: it refuses to answer us: 127.255.255.252",
        "wl.example: no answer: timed out",
    ]
    assert noted.told() == told
    noted.now += 3_600_000_000
    await answered(dnsbl(fresh(), dns=lookup, ourselves=OURSELVES, faults=noted.faults, lists=LISTS))
    assert noted.told() == told * 2


async def test_each_list_has_its_own_time_and_all_are_asked_at_once() -> None:
    asked: list[str] = []

    class Slow:
        async def __call__(self, name: str, kind: str) -> Answer:
            asked.append(name)
            if name == B[0]:
                return Answer(DnsStatus.FOUND, ("127.0.0.2",), 60)
            await asyncio.Event().wait()
            raise AssertionError

    lists = tuple(DnsListSettings(zone=one.zone, weight=3, timeout=0.1) for one in LISTS)
    assert await judged(Slow(), lists=lists, reject=3.0) == "reject 5.7.1"
    assert asked == [A[0], B[0], WL[0]]


@pytest.mark.parametrize(
    "ctx",
    [
        fresh(relays=True),
        fresh(login="alice"),
        fresh(recipient="postmaster@example.com"),
        fresh(recipient="Postmaster@example.com"),
        fresh(recipient="bob@example.net"),
        fresh(ip="203.0.113.200"),
    ],
    ids=["relay", "login", "postmaster", "capital", "elsewhere", "exempt"],
)
async def test_whom_it_does_not_concern(ctx: RcptContext) -> None:
    networks = AccessSettings.model_validate({"relay_networks": ["203.0.113.128/25"]}).relay_networks
    lookup = FakeLookup({A: ["127.0.0.2"]})
    answer = dnsbl(ctx, dns=lookup, ourselves=OURSELVES, faults=Noted().faults, zones=("a.example",), exempt=networks)
    assert answer is None
    assert lookup.asked == []


async def test_tags_are_an_adjustment() -> None:
    lookup = FakeLookup({A: ["127.0.0.2"]})
    answer = await answered(
        dnsbl(fresh(), dns=lookup, ourselves=OURSELVES, faults=Noted().faults, zones=("a.example",), reject=0, tag=1)
    )
    assert answer == Adjust("dnsbl: a.example has 203.0.113.9 (127.0.0.2) +1: 1", tags=("dnsbl",))
