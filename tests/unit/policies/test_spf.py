"""The policy `spf`: whom it asks about, what follows from each result, and that no fault of DNS refuses for good."""

import asyncio

import pytest

from postroad.model.dns import Answer as DnsAnswer
from postroad.policies.spf import spf
from postroad.policy.context import RcptContext
from postroad.policy.findings import SpfResult
from postroad.policy.findingwords import words_of
from postroad.policy.sample import sample
from postroad.policy.verdict import Adjust, Reject
from tests.support.clock import ManualClock
from tests.support.spfzone import Zone
from tests.support.strangers import OURSELVES, answered, shown

ZONE = Zone(
    {
        "pass.example": {"TXT": ["v=spf1 ip4:198.51.100.7 -all"]},
        "fail.example": {"TXT": ["v=spf1 -all exp=why.fail.example"]},
        "why.fail.example": {"TXT": ["%{i} may not"]},
        "softfail.example": {"TXT": ["v=spf1 ~all"]},
        "neutral.example": {"TXT": ["v=spf1 ?all"]},
        "permerror.example": {"TXT": ["v=spf1 moo"]},
        "helo.example": {"TXT": ["v=spf1 -all"]},
    },
    broken={"temperror.example"},
)
EVERY = ("pass", "fail", "softfail", "neutral", "none", "permerror", "temperror")


async def result_of(ctx: RcptContext, **options: object) -> str:
    """The answer in a few words."""
    asked = spf(ctx, dns=ZONE, clock=ManualClock(), ourselves=OURSELVES, **options)  # type: ignore[arg-type]
    return shown(await answered(asked))


@pytest.mark.parametrize("word", EVERY)
async def test_what_follows(word: str) -> None:
    ctx = sample(RcptContext, sender=f"alice@{word}.example")
    assert await result_of(ctx) == {"fail": "reject 5.7.23", "softfail": "tag spf:softfail"}.get(word, "")
    result = ctx.facts.get(SpfResult)
    assert result is not None
    assert (result.result, result.domain, result.identity) == (word, f"{word}.example", "mailfrom")
    assert words_of(ctx.facts) == {f"spf:{word}"}
    every = dict.fromkeys(("fail", "softfail", "permerror", "temperror"), "defer")
    expected = {"permerror": "defer 4.7.24", "temperror": "defer 4.7.24", "fail": "defer 4.7.23"}
    assert await result_of(ctx, **every) == ({**expected, "softfail": "defer 4.7.23"}.get(word, ""))
    assert await result_of(ctx, **dict.fromkeys(every, "ignore")) == ""
    assert await result_of(ctx, temperror="reject") == {
        "temperror": "defer 4.7.24",
        "fail": "reject 5.7.23",
        "softfail": "tag spf:softfail",
    }.get(word, "")


async def test_the_reason_has_the_explanation_and_the_reply_has_not() -> None:
    answer = await answered(
        spf(sample(RcptContext, sender="a@fail.example"), dns=ZONE, clock=ManualClock(), ourselves=OURSELVES)
    )
    assert isinstance(answer, Reject)
    assert answer.reason == (
        "spf: fail of fail.example (mailfrom): fail.example says -all (its explanation: 198.51.100.7 may not)"
    )
    assert "may not" not in answer.reply.text


async def test_reports_are_checked_by_the_name_of_the_client() -> None:
    ctx = sample(RcptContext, sender="", helo="helo.example")
    assert await result_of(ctx) == "reject 5.7.23"
    result = ctx.facts.get(SpfResult)
    assert result is not None
    assert (result.domain, result.identity) == ("helo.example", "helo")
    assert await result_of(sample(RcptContext, sender="", helo="[198.51.100.7]")) == ""


async def test_whom_it_does_not_concern() -> None:
    sender = "alice@fail.example"
    asked = len(ZONE.asked)
    for ctx in (
        sample(RcptContext, sender=sender, relays=True),
        sample(RcptContext, sender=sender, login="alice"),
        sample(RcptContext, sender=sender, recipient="postmaster@example.com"),
        sample(RcptContext, sender=sender, recipient="bob@elsewhere.example"),
    ):
        assert await result_of(ctx) == ""
    assert len(ZONE.asked) == asked


async def test_dns_that_never_answers_is_a_temporary_error() -> None:
    async def silent(name: str, kind: str) -> DnsAnswer:
        await asyncio.Event().wait()
        raise AssertionError

    ctx = sample(RcptContext, sender="alice@fail.example")
    given = spf(ctx, dns=silent, clock=ManualClock(), ourselves=OURSELVES, timeout=0.1, temperror="tag")
    answer = await answered(given)
    assert isinstance(answer, Adjust)
    assert answer.tags == ("spf:temperror",)


async def test_hosts_and_names_are_asked_about_side_by_side() -> None:
    hosts = ("m1.many.example", "m2.many.example", "m3.many.example")
    zone = Zone(
        {
            "many.example": {"TXT": ["v=spf1 mx ptr -all"], "MX": [f"10 {host}" for host in hosts]},
            "7.100.51.198.in-addr.arpa": {"PTR": [f"p.{host}" for host in hosts]},
            **{host: {"A": ["192.0.2.1"]} for host in hosts},
            **{f"p.{host}": {"A": ["198.51.100.7"]} for host in hosts},
        }
    )
    together = asyncio.Barrier(len(hosts))

    async def dns(name: str, kind: str) -> DnsAnswer:
        if kind == "A":
            async with asyncio.timeout(30):
                await together.wait()  # for all the others: in turn it would be for ever
        return await zone(name, kind)

    ctx = sample(RcptContext, sender="a@many.example")
    await answered(spf(ctx, dns=dns, clock=ManualClock(), ourselves=OURSELVES))
    result = ctx.facts.get(SpfResult)
    assert result is not None
    assert (result.result, result.reason) == ("pass", "many.example says ptr")


async def test_nobody_waits_for_hosts_behind_the_one_that_matches() -> None:
    hosts = {"m1.two.example": {"A": ["198.51.100.7"]}, "m2.two.example": {"A": ["192.0.2.1"]}}
    zone = Zone({"two.example": {"TXT": ["v=spf1 mx -all"], "MX": [f"10 {host}" for host in hosts]}, **hosts})
    given_up = []

    async def dns(name: str, kind: str) -> DnsAnswer:
        if name == "m2.two.example":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                given_up.append(name)
                raise
        return await zone(name, kind)

    ctx = sample(RcptContext, sender="a@two.example")
    await answered(spf(ctx, dns=dns, clock=ManualClock(), ourselves=OURSELVES))
    result = ctx.facts.get(SpfResult)
    assert result is not None
    assert (result.result, given_up) == ("pass", ["m2.two.example"])
