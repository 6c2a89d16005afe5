"""The policy `dkim`: whose mail is looked at, what follows, and what stays as a fact."""

import asyncio
from ipaddress import ip_network
from typing import Any

import pytest

from postroad.mailauth.arc import ArcResult
from postroad.mailauth.dkim_result import DkimResults
from postroad.model.content import Content
from postroad.model.dns import Answer, DnsStatus
from postroad.model.errors import SpoolError
from postroad.policies.dkim import dkim
from postroad.policy.context import MessageContext
from postroad.policy.sample import sample
from postroad.policy.verdict import Answer as PolicyAnswer
from tests.support.clock import ManualClock
from tests.support.dns import FakeLookup
from tests.support.mailauth import key, seal, sign, zone
from tests.support.memoryspool import LargeContent
from tests.support.strangers import answered, shown

ED, RSA, OTHER = key("ed25519"), key("rsa1024"), key("ed25519", 5, "other.example")
RECORDS = {(name, "TXT"): [record] for name, record in zone(ED, RSA, OTHER).items()}
PLAIN = b"From: joe@example.com\r\nTo: bob@example.com\r\nSubject: Hi\r\n\r\nHello\r\n"
CLOCK = ManualClock()
NOW = CLOCK.now() // 1_000_000
SIGNED = sign(PLAIN, [ED, RSA], now=NOW)
CHANGED = SIGNED.replace(b"Hello", b"Bye")


def context(message: bytes, *, content: Content | None = None, **more: object) -> MessageContext:
    made = sample(MessageContext, content=message, **more)  # type: ignore[arg-type]  # names of a context's own
    if content is None:
        return made
    return MessageContext(
        made.peer, made.origin, made.sender, made.recipients, made.head, made.size, made.facts, content
    )


async def ask(ctx: MessageContext, dns: FakeLookup | None = None, **options: Any) -> PolicyAnswer | None:
    lookup = FakeLookup(RECORDS) if dns is None else dns
    return await answered(dkim(ctx, dns=lookup, clock=CLOCK, **options))


def results(ctx: MessageContext) -> list[str]:
    found = ctx.facts.get(DkimResults)
    return [] if found is None else [one.result for one in found.results]


async def test_what_holds_is_a_fact_and_nothing_follows() -> None:
    ctx = context(SIGNED)
    assert await ask(ctx, fail="reject", on_fault="defer") is None
    found = ctx.facts.get(DkimResults)
    assert found is not None
    assert (results(ctx), found.domains) == (["pass", "pass"], ("example.com",))
    chain = ctx.facts.get(ArcResult)
    assert chain is not None
    assert chain.result == "none"


@pytest.mark.parametrize(
    ("message", "options", "answer"),
    [
        (CHANGED, {}, ""),
        (CHANGED, {"fail": "reject"}, "reject 5.7.20"),
        (CHANGED, {"fail": "defer"}, "defer 4.7.20"),
        (CHANGED, {"fail": "tag"}, "tag dkim:fail"),
        (PLAIN, {"fail": "reject", "on_fault": "defer"}, ""),
        (sign(CHANGED, [OTHER], now=NOW), {"fail": "reject"}, ""),  # one that holds is enough
        (sign(CHANGED, [OTHER], now=NOW), {"fail": "reject", "signatures": 1}, ""),
        (SIGNED.replace(b"a=ed25519-sha256", b"a=rsa-sha1"), {"fail": "reject", "signatures": 1}, "reject 5.7.20"),
    ],
)
async def test_what_does_not_hold_has_the_answer_that_is_wished(
    message: bytes, options: dict[str, Any], answer: str
) -> None:
    assert shown(await ask(context(message), **options)) == answer


async def test_a_domain_that_tries_it_out_is_not_blamed() -> None:
    dns = FakeLookup({(own.name, "TXT"): [own.record(is_testing=True)] for own in (ED, RSA)})
    ctx = context(CHANGED)
    assert await ask(ctx, dns, fail="reject") is None
    assert results(ctx) == ["fail", "fail"]


@pytest.mark.parametrize(("on_fault", "answer"), [("ignore", ""), ("defer", "defer 4.7.20")])
async def test_nobody_is_refused_for_good_when_dns_fails(on_fault: str, answer: str) -> None:
    ctx = context(CHANGED)
    dns = FakeLookup(RECORDS, failing=[ED.name])
    assert shown(await ask(ctx, dns, fail="reject", on_fault=on_fault)) == answer
    assert results(ctx) == ["temperror", "fail"]
    assert await ask(context(SIGNED), dns, fail="reject", on_fault=on_fault) is None  # the other one holds


async def test_only_strangers_are_looked_at() -> None:
    for more in ({"relays": True}, {"login": "joe"}, {"ip": "192.0.2.9"}):
        ctx = context(CHANGED, **more)
        options: dict[str, Any] = {"exempt": (ip_network("192.0.2.0/24"),)} if "ip" in more else {}
        assert await ask(ctx, fail="reject", **options) is None
        assert results(ctx) == []


async def test_seals_are_a_fact_too() -> None:
    message, _ = seal(SIGNED, RSA, zone(RSA), now=NOW)
    ctx = context(message)
    assert await ask(ctx) is None
    chain = ctx.facts.get(ArcResult)
    assert chain is not None
    assert (chain.result, chain.sealers) == ("pass", ("example.com",))


async def test_large_content_is_read_piece_by_piece() -> None:
    message = sign(PLAIN + b"a line \r\n" * 100_000, [ED], now=NOW)
    ctx = context(message, content=LargeContent(message))
    assert await ask(ctx, fail="reject") is None
    assert results(ctx) == ["pass"]


class Short(LargeContent):
    """Content that ends too early."""

    @property
    def size(self) -> int:
        return super().size + 1


async def test_content_that_cannot_be_read_is_no_failure_of_the_signature() -> None:
    with pytest.raises(SpoolError):
        await ask(context(SIGNED, content=Short(SIGNED)), fail="reject")


class Together(FakeLookup):
    """Answers when `count` questions are there, and not before."""

    def __init__(self, count: int) -> None:
        super().__init__(RECORDS)
        self.count = count
        self.there = asyncio.Event()

    async def __call__(self, name: str, kind: str) -> Answer:
        answer = await super().__call__(name, kind)
        if len(self.asked) == self.count:
            self.there.set()
        await self.there.wait()
        return answer


async def test_keys_are_asked_for_side_by_side_and_each_once() -> None:
    message = sign(sign(SIGNED, [OTHER], now=NOW), [ED], now=NOW)
    dns = Together(3)
    ctx = context(message)
    assert await ask(ctx, dns) is None
    assert sorted(dns.asked) == sorted((own.name, "TXT") for own in (ED, RSA, OTHER))
    assert results(ctx) == ["pass"] * 4


async def test_a_key_that_does_not_come_in_time_is_a_fault() -> None:
    ctx = context(SIGNED)
    assert shown(await ask(ctx, Together(99), timeout=0.01, on_fault="defer")) == "defer 4.7.20"
    found = ctx.facts.get(DkimResults)
    assert found is not None
    assert DnsStatus.TIMED_OUT.value in found.results[0].reason
