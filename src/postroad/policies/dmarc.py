"""Mail in the name of domains that did not send it: DMARC (RFC 7489, RFC 9989).

What the policies `spf` and `dkim` found out is taken from their facts, and found out here where they did not. What the
author's domain asks for is done unless somebody trusted brought the message; that has its reason in the log. What came
of it stays with the transaction as `DmarcResult`. RFC 7489 6.6.4 (shares), RFC 8617 7.2 (what sealers say).
"""

import asyncio
from collections.abc import Awaitable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, Final, Literal
from zlib import crc32

from msgspec import Struct
from publicsuffixlist import PublicSuffixList
from pydantic import Field

from postroad.mailauth.arc import ArcResult
from postroad.mailauth.dkim_result import DkimResults
from postroad.mailauth.dmarc import Dmarc, Identifier, authors_of, evaluate
from postroad.mailauth.fields import Fields
from postroad.mailauth.results import read_results
from postroad.message.dmarcreport import Override, Tally
from postroad.message.headers import header_section
from postroad.model.dns import Lookup
from postroad.model.option import Duration
from postroad.model.reply import Reply
from postroad.net.clock import Clock
from postroad.policies.checking import check_sender, check_signatures
from postroad.policies.dmarcfailed import tell
from postroad.policies.dmarcseen import FORWARDER, LOCAL, MAILING_LIST, Judged, count
from postroad.policy.bind import BuiltIn
from postroad.policy.context import MessageContext
from postroad.policy.findings import DmarcResult, SpfResult
from postroad.policy.networks import is_within
from postroad.policy.settings import DomainPattern
from postroad.policy.strangers import Networks, Ourselves, covers, is_stranger
from postroad.policy.verdict import Adjust, Answer, Defer, Reject
from postroad.smtp import replies

Deed = Literal["reject", "hold", "tag", "ignore"]
_DONE: Final = MappingProxyType({"reject": "reject", "hold": "quarantine", "tag": "none", "ignore": "none"})


class _Wish(Struct, frozen=True):
    """What is to follow, and who is trusted."""

    reject: Deed
    quarantine: Deed
    no_author: Deed
    on_fault: str
    suffixes: bool
    forwarders: Networks
    lists: tuple[str, ...]
    sealers: tuple[str, ...]
    timeout: float


def dmarc(  # noqa: PLR0913  options
    ctx: MessageContext,
    *,
    dns: Lookup,
    clock: Clock,
    ourselves: Ourselves,
    tally: Tally,
    reject: Annotated[Deed, Field(description="The author's domain asks to reject it.")] = "reject",
    quarantine: Annotated[Deed, Field(description="The author's domain asks to treat it as suspicious.")] = "hold",
    no_author: Annotated[
        Deed,
        Field(description="It has no From field, more than 4, or authors of more than 4 domains (RFC 7489 6.6.1)."),
    ] = "reject",
    on_fault: Annotated[
        Literal["ignore", "defer"], Field(description="DNS did not answer, and nothing else proves the author.")
    ] = "ignore",
    trusted_forwarders: Annotated[
        Networks, Field(description="Clients that forward mail to us: nothing follows for theirs.")
    ] = (),
    mailing_lists: Annotated[
        tuple[DomainPattern, ...],
        Field(description="Domains of lists: nothing follows for mail that SPF or DKIM proves to be of one of them."),
    ] = (),
    arc_sealers: Annotated[
        tuple[DomainPattern, ...],
        Field(description="Domains of relays that are believed when they sealed that DMARC passed there (ARC)."),
    ] = (),
    public_suffixes: Annotated[
        bool, Field(description="Tell organisations by the public suffix list (RFC 7489), not by DNS (RFC 9989).")
    ] = False,
    timeout: Annotated[Duration, Field(description="How long each part of the check may take.", ge=0.1, le=9)] = 8.0,
) -> Answer | Awaitable[Answer | None] | None:
    """Refuse, hold or tag mail that nothing proves to be of its author's domain, as that domain asks for (DMARC).

    Asked for mail of strangers. The author is proven by SPF or DKIM for a domain of the same organisation. What follows
    a failure is for the author's domain to say, and for `reject` and `quarantine` what is made of that: "reject" (550
    5.7.1), "hold" (in the queue, until somebody releases it), "tag" (`dmarc:fail`) or "ignore"; where a domain asks for
    nothing, nothing follows. Mail without an author that can be looked at (`no_author`, 550 5.6.0, tag
    `dmarc:permerror`) would have its readers see what nobody asked about. Mailing lists and forwarders break SPF, and
    some break DKIM: name those whose mail is wanted all the same. What was not done because of them is in the log.
    `spf` and `dkim` before this policy are taken at their word; without them both are checked here. When DNS fails
    nobody is refused for good. What was found out stays with the transaction as `DmarcResult`, and rules see it:
    `dmarc:fail`. With `from` in `[dmarc_reports]` it is counted for those domains that ask for reports; with `failures`
    there they are told of single messages, too.
    """
    if not is_stranger(ctx.peer) or ctx.origin.login:
        return None
    trusted = (trusted_forwarders, mailing_lists, arc_sealers)
    wish = _Wish(reject, quarantine, no_author, on_fault, public_suffixes, *trusted, timeout)
    return _judge(ctx, dns, clock, ourselves.hostname, wish, tally)


async def _judge(
    ctx: MessageContext, dns: Lookup, clock: Clock, hostname: str, wish: _Wish, tally: Tally
) -> Answer | None:
    identifiers = await _identifiers(ctx, dns, clock, hostname, wish.timeout)
    fields = Fields(header_section(ctx.head))
    authors = authors_of(fields)
    if authors.fault:
        ctx.facts.put(DmarcResult("permerror", "", "", "none", authors.fault, ""))
        return _carried_out(wish.no_author, replies.NO_AUTHOR, f"dmarc: {authors.fault}", "dmarc:permerror")
    organization = organization_of if wish.suffixes else None
    try:
        async with asyncio.timeout(wish.timeout):
            found = await evaluate(
                dns, authors.domains, identifiers, organization=organization, roll=crc32(ctx.head) % 100
            )  # the same for a message that comes again
    except TimeoutError:
        found = Dmarc("temperror", authors.domains[0], f"DNS took longer than {wish.timeout:g} s")
    override = _override(ctx, found, identifiers, wish) if found.disposition != "none" else None
    words = "" if override is None else override.comment
    ctx.facts.put(DmarcResult(found.result, found.domain, found.policy, found.disposition, found.reason, words))
    done, why = _done(found, override, wish)
    judged = Judged(found, fields, done)
    count(tally, ctx, judged, why)
    tell(tally, ctx, judged, clock.now(), hostname)
    return _answer(found, words, wish)


def _done(found: Dmarc, override: Override | None, wish: _Wish) -> tuple[str, list[Override]]:
    """What is done as reports have it, and why when that is not what is asked for."""
    if found.disposition == "none" or override is not None:
        return "none", [override] if override is not None else []
    done = _DONE[wish.reject if found.disposition == "reject" else wish.quarantine]
    return done, [] if done == found.disposition else [Override(LOCAL)]


async def _identifiers(
    ctx: MessageContext, dns: Lookup, clock: Clock, hostname: str, timeout: float
) -> list[Identifier]:
    """The domains that SPF and DKIM speak of."""
    spf, known = ctx.facts.get(SpfResult), ctx.facts.get(DkimResults)
    dkim = check_signatures(ctx, dns, clock, timeout=timeout) if known is None else known
    if not isinstance(dkim, DkimResults) and spf is None:
        asking = check_sender(ctx, dns, hostname, clock, timeout=timeout)
        spf, dkim = await asyncio.gather(asking, _wait(dkim))
    if not isinstance(dkim, DkimResults):
        dkim = await dkim
    if spf is None:
        spf = await check_sender(ctx, dns, hostname, clock, timeout=timeout)
    found = [Identifier("spf", spf.result, spf.domain)]
    found += [Identifier("dkim", one.result, one.domain) for one in dkim.results if one.domain]
    return found


async def _wait(pending: Awaitable[DkimResults]) -> DkimResults:
    return await pending


def _override(ctx: MessageContext, found: Dmarc, identifiers: list[Identifier], wish: _Wish) -> Override | None:
    """Why what is asked for is not done, or nothing."""
    if wish.forwarders and is_within(ctx.peer.ip, wish.forwarders):
        return Override(FORWARDER, f"{ctx.peer.ip} is a trusted forwarder")
    for one in identifiers:
        if one.result == "pass" and covers(wish.lists, one.domain):
            return Override(MAILING_LIST, f"{one.method.upper()} proves the mailing list {one.domain}")
    sealer = _sealer(ctx.facts.get(ArcResult), found.domain, wish.sealers) if wish.sealers else ""
    return Override(LOCAL, f"{sealer} sealed that DMARC passed there (ARC)") if sealer else None


def _sealer(chain: ArcResult | None, author: str, sealers: tuple[str, ...]) -> str:
    """The trusted sealer that saw DMARC pass, when nobody touched the message since but others who are trusted."""
    if chain is None or not chain.is_pass:
        return ""
    for sealer, claim in zip(reversed(chain.sealers), reversed(chain.claims), strict=True):
        if not covers(sealers, sealer):
            return ""
        read = read_results(claim.encode())
        for one in () if read is None else read.results:
            if (one.method, one.result) == ("dmarc", "pass") and one.value("header", "from").lower() == author:
                return sealer
    return ""


def _answer(found: Dmarc, override: str, wish: _Wish) -> Answer | None:
    reason = f"dmarc: {found.reason}"
    if found.result == "temperror" and wish.on_fault == "defer":
        return Defer(replies.DMARC_UNKNOWN_FOR_NOW, reason)
    if found.disposition == "none":
        return None
    if override:
        return Adjust(f"{reason}; not done: {override}")
    deed = wish.reject if found.disposition == "reject" else wish.quarantine
    return _carried_out(deed, replies.DMARC_FAILED, reason, "dmarc:fail")


def _carried_out(deed: Deed, reply: Reply, reason: str, tag: str) -> Answer:
    match deed:
        case "reject":
            return Reject(reply, reason)
        case "hold":
            return Adjust(reason, tags=(tag,), hold=reason)
        case "tag":
            return Adjust(reason, tags=(tag,))
        case _:
            return Adjust(f"{reason}; not done: as configured")


@lru_cache(1)  # reading the list takes time
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


def organization_of(domain: str) -> str:
    """The domain below a public suffix that `domain` is of (RFC 7489 3.2)."""
    return _suffixes().privatesuffix(domain) or domain


def _check(options: Mapping[str, object]) -> str:
    if options["public_suffixes"]:
        _suffixes()  # read now, and not on the way of the first message
    return ""


POLICY: Final[BuiltIn] = BuiltIn(dmarc, _check)
