"""Who is asked to come back, and who is not even looked at."""

import pytest

from postroad.model.errors import TableError
from postroad.model.greylisting import Ruling
from postroad.policies.greylist import greylist, organisation
from postroad.policy.context import RcptContext
from postroad.policy.findings import DnsListResult, GreylistResult, PtrResult, SpfResult
from postroad.policy.sample import sample
from postroad.policy.verdict import Answer, Defer
from postroad.smtp import replies
from tests.support.dns import FakeLookup
from tests.support.strangers import OURSELVES, Book, Noted, answered, shown

WAITS = Ruling("waits", 0, 200_500_000)
REVERSE = ("9.113.0.203.in-addr.arpa", "PTR")


async def judged(ctx: RcptContext, book: Book, lookup: FakeLookup | None = None, **options: object) -> Answer | None:
    return await answered(
        greylist(
            ctx,
            dns=lookup or FakeLookup(),
            ourselves=OURSELVES,
            book=book,
            faults=Noted().faults,
            **options,  # type: ignore[arg-type]
        )
    )


async def test_a_stranger_is_asked_to_come_back() -> None:
    ctx = sample(RcptContext, ip="203.0.113.9")
    book = Book(WAITS)
    assert await judged(ctx, book) == Defer(replies.GREYLISTED, "greylist: 203.0.113.0/24 has to wait 201 s more")
    assert ctx.facts.get(GreylistResult) == GreylistResult("waits", 201)
    ((parties, pair, terms),) = book.asked
    assert (parties, pair) == (("203.0.113.0/24",), ("alice@example.org", "bob@example.com"))
    assert (terms.delay, terms.proven_after) == (300_000_000, 5)


async def test_who_passes_has_no_verdict() -> None:
    for state in ("passed", "proven"):
        ctx = sample(RcptContext)
        assert await judged(ctx, Book(Ruling(state, 0))) is None
        assert ctx.facts.get(GreylistResult) == GreylistResult(state)


async def test_confirmed_names_make_a_provider_one_party_but_not_its_customers() -> None:
    lookup = FakeLookup(
        {
            REVERSE: ["out-17.mail.example.co.uk", "cpe-203-0-113-9.provider.example", "forged.example.com"],
            ("out-17.mail.example.co.uk", "A"): ["203.0.113.9"],
            ("cpe-203-0-113-9.provider.example", "A"): ["203.0.113.9"],
        }
    )
    book = Book(WAITS)
    await judged(sample(RcptContext, ip="203.0.113.9"), book, lookup, mask_v4=32)
    assert book.asked[0][0] == ("203.0.113.9/32", "example.co.uk")
    asked = len(lookup.asked)
    known = (PtrResult(("mx.example.net",)),)
    await judged(sample(RcptContext, ip="203.0.113.9", facts=known), book, lookup)
    assert book.asked[1][0] == ("203.0.113.0/24", "example.net")
    assert len(lookup.asked) == asked


def test_organisations() -> None:
    assert organisation("mail-ej1-f54.Google.com") == "google.com"
    assert organisation("mx.example.co.uk") == "example.co.uk"
    assert organisation("co.uk") == ""


@pytest.mark.parametrize(
    "ctx",
    [
        sample(RcptContext, relays=True),
        sample(RcptContext, login="alice"),
        sample(RcptContext, recipient="postmaster@example.com"),
        sample(RcptContext, recipient="bob@example.net"),
        sample(RcptContext, facts=(SpfResult("pass", "example.org"),)),
        sample(RcptContext, facts=(DnsListResult(-2.0),)),
        sample(RcptContext, sender="a@news.example.net"),
        sample(RcptContext, ip=""),
    ],
    ids=["relay", "login", "postmaster", "elsewhere", "spf", "allowed", "sender", "local"],
)
async def test_who_need_not_wait(ctx: RcptContext) -> None:
    book = Book(WAITS)
    assert await judged(ctx, book, exempt_senders=("*.example.net",)) is None
    assert book.asked == []


async def test_exempt_recipients() -> None:
    assert await judged(sample(RcptContext), Book(WAITS), exempt_recipients=("example.com",)) is None


@pytest.mark.parametrize("fact", [SpfResult("softfail", "example.org"), DnsListResult(0.0)])
async def test_others_wait_all_the_same(fact: object) -> None:
    assert shown(await judged(sample(RcptContext, facts=(fact,)), Book(WAITS))) == "defer 4.7.1"


async def test_mail_passes_when_nothing_is_remembered() -> None:
    noted = Noted()
    given = greylist(
        sample(RcptContext),
        dns=FakeLookup(),
        ourselves=OURSELVES,
        book=Book(TableError("greylist.db: disk I/O error")),
        faults=noted.faults,
    )
    assert await answered(given) is None
    assert noted.told() == ["greylist: greylist.db: disk I/O error"]


async def test_a_fault_of_dns_leaves_the_network() -> None:
    book = Book(WAITS)
    await judged(sample(RcptContext, ip="203.0.113.9"), book, FakeLookup(silent=[REVERSE[0]]))
    assert book.asked[0][0] == ("203.0.113.0/24",)
