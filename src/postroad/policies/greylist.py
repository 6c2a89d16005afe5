"""Strangers that are not known yet are asked to come back in a few minutes, which real mail servers do.

What is remembered is in one file that all edges share; it holds no addresses. A provider with many hosts waits once:
its hosts have confirmed names of one domain, whichever of them comes back. RFC 6647 5 has the advice that is followed.
"""

from collections.abc import Awaitable, Mapping
from typing import Annotated, Final

from publicsuffixlist import PublicSuffixList
from pydantic import Field

from postroad.model.dns import Lookup
from postroad.model.errors import TableError
from postroad.model.greylisting import Greylist, Terms, parties_of
from postroad.model.option import Duration
from postroad.model.reverse import Address, address_of
from postroad.net.dns.asking import confirmed_names
from postroad.policy.bind import BuiltIn
from postroad.policy.context import RcptContext
from postroad.policy.findings import DnsListResult, GreylistResult, PtrResult, SpfResult
from postroad.policy.naming import looks_generic
from postroad.policy.settings import DomainPattern
from postroad.policy.strangers import Faults, Networks, Ourselves, covers, is_concerned
from postroad.policy.verdict import Answer, Defer
from postroad.smtp import replies

_SUFFIXES: Final = PublicSuffixList()
_MICRO: Final = 1_000_000
_DAY: Final = 86_400.0


def greylist(  # noqa: PLR0913  options
    ctx: RcptContext,
    *,
    dns: Lookup,
    ourselves: Ourselves,
    book: Greylist,
    faults: Faults,
    delay: Annotated[Duration, Field(description="How long a new client has to wait.", ge=1, le=86400)] = 300.0,
    window: Annotated[Duration, Field(description="How long it may take to come back.", ge=3600)] = 2 * _DAY,
    life: Annotated[
        Duration, Field(description="How long who came back is remembered, from its latest mail on.", ge=3600)
    ] = 36 * _DAY,
    proven_after: Annotated[
        int,
        Field(description="Pairs of sender and recipient that came back until a client waits no more; 0: never.", ge=0),
    ] = 5,
    mask_v4: Annotated[int, Field(description="Leading bits by which IPv4 clients are one.", ge=8, le=32)] = 24,
    mask_v6: Annotated[int, Field(description="Leading bits by which IPv6 clients are one.", ge=16, le=128)] = 64,
    timeout: Annotated[Duration, Field(description="How long DNS is waited for, twice.", ge=0.1, le=10)] = 5.0,
    exempt: Annotated[Networks, Field(description="Clients that never wait.")] = (),
    exempt_senders: Annotated[
        tuple[DomainPattern, ...], Field(description='Domains of senders that never wait: "example.com".')
    ] = (),
    exempt_recipients: Annotated[
        tuple[DomainPattern, ...], Field(description="Domains of recipients that nobody waits for.")
    ] = (),
) -> Answer | Awaitable[Answer | None] | None:
    """Defer (451 4.7.1) the first mail between a sender and a recipient from a client that has not proven itself.

    Asked for mail of strangers to our own domains, but not to the postmaster. Nobody waits who passes SPF (`SpfResult`,
    put by a policy before this one) or whom allow lists know (`dnsbl` before this one came to less than 0). Clients of
    one network wait once, and so do all hosts whose confirmed names are of one domain. Put it behind the other
    policies: who is refused by them need not wait. When the file cannot be read mail passes, and `CheckFaulted` tells
    of it. What was decided stays with the transaction as `GreylistResult`.
    """
    address = address_of(ctx.peer.ip)
    if address is None or not is_concerned(ctx, ourselves, exempt):
        return None
    if covers(exempt_senders, ctx.sender.domain) or covers(exempt_recipients, ctx.recipient.domain) or _is_known(ctx):
        return None
    terms = Terms(_micros(delay), _micros(window), _micros(life), proven_after)
    return _judge(ctx, dns, book, faults, address, (terms, (mask_v4, mask_v6), timeout))


async def _judge(
    ctx: RcptContext,
    dns: Lookup,
    book: Greylist,
    faults: Faults,
    address: Address,
    how: tuple[Terms, tuple[int, int], float],
) -> Answer | None:
    terms, masks, seconds = how
    known = ctx.facts.get(PtrResult)
    if known is None:
        confirmed = await confirmed_names(dns, address, seconds)
        names = confirmed.names
    else:
        names = known.names
    own = [name for name in names if not looks_generic(name, address)]  # customers of one provider are many
    parties = parties_of(ctx.peer.ip, own, masks, organisation)
    pair = (ctx.sender.text, ctx.recipient.text)
    try:
        ruling = await book.judge(parties, pair, terms)
    except TableError as error:
        faults.tell("greylist", "greylist", str(error))
        return None
    left = -(-ruling.left // _MICRO)
    ctx.facts.put(GreylistResult(ruling.state, left))
    if ruling.state != "waits":
        return None
    return Defer(replies.GREYLISTED, f"greylist: {', '.join(parties)} has to wait {left} s more")


def organisation(name: str) -> str:
    """The domain that somebody registered of the host name `name`, or ""."""
    return _SUFFIXES.privatesuffix(name.lower()) or ""


def _is_known(ctx: RcptContext) -> bool:
    """True for senders that SPF proves, and clients that allow lists have."""
    spf, lists = ctx.facts.get(SpfResult), ctx.facts.get(DnsListResult)
    return (spf is not None and spf.result == "pass") or (lists is not None and lists.score < 0)


def _micros(seconds: float) -> int:
    return int(min(seconds, 100 * 365 * _DAY) * _MICRO)


def _check(options: Mapping[str, object]) -> str:
    delay, window = options["delay"], options["window"]
    if isinstance(delay, float) and isinstance(window, float) and delay >= window:
        return "window: has to be longer than delay, or nobody could ever pass"
    return ""


POLICY: Final[BuiltIn] = BuiltIn(greylist, _check)
