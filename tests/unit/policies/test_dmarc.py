"""The policy `dmarc`: what it takes from others, what follows, whose mail is let through all the same."""

import asyncio
from ipaddress import ip_network
from typing import Any

import pytest

from postroad.mailauth.arc import ArcResult
from postroad.mailauth.dkim_result import DkimResult, DkimResults
from postroad.message.dmarcreport import Tally
from postroad.model.dns import Answer as DnsAnswer
from postroad.policies.dmarc import POLICY, dmarc, organization_of
from postroad.policy.context import MessageContext
from postroad.policy.findings import DmarcResult, SpfResult
from postroad.policy.findingwords import words_of
from postroad.policy.sample import sample
from postroad.policy.verdict import Adjust, Reject
from postroad.policy.verdict import Answer as PolicyAnswer
from tests.support.clock import ManualClock
from tests.support.dns import FakeLookup
from tests.support.mailauth import key, sign, zone
from tests.support.strangers import OURSELVES, answered, shown

CLOCK = ManualClock()
ED = key("ed25519", 0, "strict.example")
RECORDS = {
    ("_dmarc.strict.example", "TXT"): ["v=DMARC1; p=reject"],
    ("_dmarc.mild.example", "TXT"): ["v=DMARC1; p=quarantine"],
    ("_dmarc.watching.example", "TXT"): ["v=DMARC1; p=none"],
    ("_dmarc.half.example", "TXT"): ["v=DMARC1; p=reject; pct=0"],
    ("strict.example", "TXT"): ["v=spf1 ip4:198.51.100.7 -all"],
    **{(name, "TXT"): [record] for name, record in zone(ED).items()},
}
UNSIGNED = DkimResults((DkimResult(result="none", reason="no signature"),))


def message(author: str) -> bytes:
    return f"From: joe@{author}\r\nTo: bob@example.com\r\n\r\nHello\r\n".encode()


def context(author: str = "strict.example", *facts: object, **more: Any) -> MessageContext:
    """Mail of `author`, of which SPF says nothing and that is not signed, but for what `facts` say."""
    known = {type(fact): fact for fact in (SpfResult("none", "list.example"), UNSIGNED, *facts)}
    return sample(MessageContext, content=message(author), facts=tuple(known.values()), **more)


async def ask(ctx: MessageContext, dns: FakeLookup | None = None, **options: Any) -> PolicyAnswer | None:
    lookup = FakeLookup(RECORDS) if dns is None else dns
    return await answered(dmarc(ctx, dns=lookup, clock=CLOCK, ourselves=OURSELVES, tally=Tally(0), **options))


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ({}, "reject 5.6.0"),
        ({"no_author": "hold"}, "tag dmarc:permerror"),
        ({"no_author": "tag"}, "tag dmarc:permerror"),
        ({"no_author": "ignore"}, "tag "),
    ],
)
@pytest.mark.parametrize("before", [0, 5])
async def test_mail_without_an_author_that_can_be_looked_at(before: int, options: dict[str, Any], answer: str) -> None:
    """Readers show one From field of six, and which one nobody knows: none of them was asked about."""
    fields = b"From: a@watching.example\r\n" * before + (b"From: joe@strict.example\r\n" if before else b"")
    facts = (SpfResult("pass", "watching.example"), UNSIGNED)
    ctx = sample(MessageContext, content=fields + b"To: bob@example.com\r\n\r\nHello\r\n", facts=facts)
    found = await ask(ctx, **options)
    assert shown(found) == answer
    assert isinstance(found, Adjust | Reject)
    assert found.reason.startswith("dmarc: it has ")
    assert bool(isinstance(found, Adjust) and found.hold) is (options.get("no_author") == "hold")
    assert (result(ctx).result, result(ctx).domain) == ("permerror", "")


def result(ctx: MessageContext) -> DmarcResult:
    found = ctx.facts.get(DmarcResult)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("author", "options", "answer", "hold"),
    [
        ("strict.example", {}, "reject 5.7.1", False),
        ("strict.example", {"reject": "hold"}, "tag dmarc:fail", True),
        ("strict.example", {"reject": "tag"}, "tag dmarc:fail", False),
        ("strict.example", {"reject": "ignore"}, "tag ", False),
        ("mild.example", {}, "tag dmarc:fail", True),
        ("mild.example", {"quarantine": "reject"}, "reject 5.7.1", False),
        ("half.example", {}, "tag dmarc:fail", True),
        ("watching.example", {"quarantine": "reject"}, "", False),
        ("nobody.example", {}, "", False),
    ],
)
async def test_what_the_domain_asks_for_is_done(author: str, options: dict[str, Any], answer: str, hold: bool) -> None:
    ctx = context(author)
    found = await ask(ctx, **options)
    assert shown(found) == answer
    if isinstance(found, Adjust | Reject):
        assert found.reason.startswith(f"dmarc: nothing proves {author} (SPF none of list.example), {author} asks for ")
    assert (isinstance(found, Adjust) and bool(found.hold)) is hold
    assert result(ctx).domain == author
    assert words_of(ctx.facts) >= {"dmarc:none" if author == "nobody.example" else "dmarc:fail"}


@pytest.mark.parametrize(
    "fact",
    [
        SpfResult("pass", "strict.example"),
        SpfResult("pass", "bounces.strict.example"),
        DkimResults((DkimResult(result="pass", reason="", domain="mail.strict.example"),)),
    ],
)
async def test_what_others_found_out_is_taken_at_their_word(fact: object) -> None:
    dns = FakeLookup(RECORDS)
    ctx = context("strict.example", fact)
    assert await ask(ctx, dns) is None
    assert result(ctx).result == "pass"
    assert {name for name, _ in dns.asked} <= {f"_dmarc.{name}strict.example" for name in ("", "mail.", "bounces.")} | {
        "_dmarc.example"
    }


@pytest.mark.parametrize(
    ("sender", "content", "answer"),
    [
        ("joe@strict.example", message("strict.example"), ""),
        ("joe@other.example", message("strict.example"), "reject 5.7.1"),
        ("joe@other.example", sign(message("strict.example"), [ED], now=CLOCK.now() // 1_000_000), ""),
        ("", sign(message("strict.example"), [ED], now=CLOCK.now() // 1_000_000).replace(b"llo", b"l"), "reject 5.7.1"),
    ],
)
async def test_without_spf_and_dkim_before_it_both_are_checked_here(sender: str, content: bytes, answer: str) -> None:
    ctx = sample(MessageContext, sender=sender, content=content)
    assert shown(await ask(ctx)) == answer
    assert ctx.facts.get(SpfResult) is not None
    assert ctx.facts.get(DkimResults) is not None


@pytest.mark.parametrize(("on_fault", "answer"), [("ignore", ""), ("defer", "defer 4.7.1")])
async def test_nobody_is_refused_for_good_when_dns_fails(on_fault: str, answer: str) -> None:
    ctx = context()
    dns = FakeLookup(RECORDS, failing=["_dmarc.strict.example"])
    assert shown(await ask(ctx, dns, on_fault=on_fault)) == answer
    assert result(ctx).result == "temperror"
    ctx = context("strict.example", SpfResult("temperror", "strict.example"))
    assert shown(await ask(ctx, on_fault=on_fault)) == answer


async def test_dns_that_takes_long_is_a_fault() -> None:
    async def silent(name: str, kind: str) -> DnsAnswer:
        await asyncio.Event().wait()
        raise AssertionError

    ctx = context()
    assert await answered(dmarc(ctx, dns=silent, clock=CLOCK, ourselves=OURSELVES, tally=Tally(0), timeout=0.1)) is None
    assert (result(ctx).result, result(ctx).reason) == ("temperror", "DNS took longer than 0.1 s")


SEALED = ArcResult(
    result="pass",
    reason="",
    instances=2,
    sealers=("list.example", "relay.example"),
    claims=("list.example; dmarc=pass (p=reject) header.from=Strict.example", "relay.example; arc=pass"),
)


@pytest.mark.parametrize(
    ("options", "facts", "why"),
    [
        ({"trusted_forwarders": (ip_network("198.51.100.0/24"),)}, (), "198.51.100.7 is a trusted forwarder"),
        ({"trusted_forwarders": (ip_network("192.0.2.0/24"),)}, (), ""),
        (
            {"mailing_lists": ("*.lists.example",)},
            (SpfResult("pass", "a.lists.example"),),
            "SPF proves the mailing list a.lists.example",
        ),
        ({"mailing_lists": ("a.lists.example",)}, (SpfResult("fail", "a.lists.example"),), ""),
        ({"mailing_lists": ("list.example",)}, (SpfResult("pass", "list.example.evil.example"),), ""),
        (
            {"arc_sealers": ("list.example", "relay.example")},
            (SEALED,),
            "list.example sealed that DMARC passed there (ARC)",
        ),
        ({"arc_sealers": ("list.example",)}, (SEALED,), ""),  # who sealed last is not trusted
        ({"arc_sealers": ("relay.example",)}, (SEALED,), ""),  # and says nothing of DMARC
        ({"arc_sealers": ("*.example", "list.example")}, (ArcResult(result="fail", reason=""),), ""),
        (
            {"arc_sealers": ("list.example",)},
            (
                ArcResult(
                    result="pass", reason="", sealers=("list.example",), claims=("x; dmarc=pass header.from=y.z",)
                ),
            ),
            "",
        ),
        (
            {"arc_sealers": ("list.example",)},
            (ArcResult(result="pass", reason="", sealers=("list.example",), claims=('x (";dmarc=pass',)),),
            "",
        ),
    ],
)
async def test_who_is_trusted_may_bring_it(options: dict[str, Any], facts: tuple[object, ...], why: str) -> None:
    ctx = context("strict.example", *facts)
    found = await ask(ctx, **options)
    assert (result(ctx).result, result(ctx).disposition, result(ctx).override) == ("fail", "reject", why)
    if why:
        assert isinstance(found, Adjust)
        assert found.reason.endswith(f"; not done: {why}")
        assert found == Adjust(found.reason)
    else:
        assert shown(found) == "reject 5.7.1"


async def test_only_strangers_are_looked_at() -> None:
    for more in ({"relays": True}, {"login": "joe"}):
        ctx = context(**more)
        assert await ask(ctx) is None
        assert ctx.facts.get(DmarcResult) is None


async def test_organisations_by_the_list_of_public_suffixes() -> None:
    assert organization_of("a.b.example.co.uk") == "example.co.uk"
    assert organization_of("co.uk") == "co.uk"
    assert POLICY.check is not None
    assert POLICY.check({"public_suffixes": True}) == ""
    dns = FakeLookup({("_dmarc.example.co.uk", "TXT"): ["v=DMARC1; p=reject"]})
    ctx = context("news.example.co.uk", SpfResult("pass", "mail.example.co.uk"))
    assert await ask(ctx, dns, public_suffixes=True) is None
    assert (result(ctx).result, len(dns.asked)) == ("pass", 2)
