"""Senders to whom nothing could be sent back: their domain does not exist, takes no mail, or lies in a private network.

A domain takes mail by its MX, without one by its addresses (RFC 5321 5.1); a null MX says that it never does
(RFC 7505 3), so mail from there cannot be answered and may be refused (RFC 7505 4.2). The null reverse-path is never
refused: reports come from it (RFC 5321 6.1).
"""

from collections.abc import Awaitable, Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal

from pydantic import Field

from postroad.model.dns import Answer as DnsAnswer
from postroad.model.dns import DnsStatus, Lookup, MxRecord
from postroad.model.option import Duration
from postroad.model.reverse import address_of
from postroad.net.dns.asking import addresses_of, ask
from postroad.policy.bind import BuiltIn
from postroad.policy.context import RcptContext
from postroad.policy.findings import SenderDomainResult
from postroad.policy.settings import DomainPattern
from postroad.policy.strangers import Action, Networks, Ourselves, Refusal, answer_to, covers, is_concerned, strongest
from postroad.policy.verdict import Answer
from postroad.smtp import replies

HOSTS_LIMIT: Final = 5  # mail exchangers that are looked up
_REFUSAL: Final = Refusal(replies.BAD_SENDER_DOMAIN, replies.BAD_SENDER_DOMAIN_FOR_NOW)
_NO_MAIL: Final = Refusal(replies.SENDER_TAKES_NO_MAIL, replies.SENDER_TAKES_NO_MAIL_FOR_NOW)
_WORDS: Final = MappingProxyType(
    {
        "unknown": "has neither mail exchangers nor addresses in DNS",
        "null_mx": "takes no mail (null MX)",
        "private": "has its mail exchangers in private networks only",
        "literal": "is an address literal",
    }
)


def sender_domain(  # noqa: PLR0913  options
    ctx: RcptContext,
    *,
    dns: Lookup,
    ourselves: Ourselves,
    unknown: Annotated[Action, Field(description="It has no MX that exists, and no address.")] = "reject",
    null_mx: Annotated[Action, Field(description="It says that it takes no mail.")] = "reject",
    private: Annotated[Action, Field(description="Nothing of it can be reached from the Internet.")] = "reject",
    literal: Annotated[Action, Field(description="It is an address literal.")] = "ignore",
    on_fault: Annotated[Literal["ignore", "defer"], Field(description="DNS does not answer.")] = "defer",
    timeout: Annotated[Duration, Field(description="How long DNS is waited for, twice.", ge=0.1, le=14)] = 8.0,
    exempt: Annotated[Networks, Field(description="Clients whose senders are not looked at.")] = (),
    exempt_domains: Annotated[
        tuple[DomainPattern, ...], Field(description='Domains that are not looked up: "example.com", "*.example.com".')
    ] = (),
) -> Answer | Awaitable[Answer | None] | None:
    """Refuse, defer or tag mail whose sender's domain cannot take mail itself.

    Asked for mail of strangers to our own domains, but not to the postmaster, and never for the null reverse-path.
    Each finding has its own answer: "reject" (550 5.1.8, for a null MX 550 5.7.27), "defer" (450), "tag" (with
    `sender_domain:` and the finding) or "ignore". When DNS fails nobody is refused for good: `on_fault` says what
    happens. The findings stay with the transaction as `SenderDomainResult`.
    """
    domain = ctx.sender.domain
    if not domain or not is_concerned(ctx, ourselves, exempt) or covers(exempt_domains, domain):
        return None
    actions: dict[str, Action] = {"unknown": unknown, "null_mx": null_mx, "private": private, "literal": literal}
    known = ctx.facts.get(SenderDomainResult)
    if ctx.sender.is_literal:
        known = SenderDomainResult(domain, ("literal",))
        ctx.facts.put(known)
    if known is not None and known.domain == domain:
        return _answer(known, actions, on_fault)
    return _look_up(ctx, dns, timeout, actions, on_fault)


async def _look_up(
    ctx: RcptContext, dns: Lookup, seconds: float, actions: Mapping[str, Action], on_fault: Action
) -> Answer | None:
    result = await examine(dns, ctx.sender.domain, seconds)
    ctx.facts.put(result)
    return _answer(result, actions, on_fault)


async def examine(dns: Lookup, domain: str, seconds: float) -> SenderDomainResult:
    """What is wrong with `domain` as that of a sender; each of the two steps may take `seconds`."""
    answer = await ask(dns, domain, "MX", seconds)
    if answer.status is DnsStatus.NO_NAME:
        return SenderDomainResult(domain, ("unknown",))
    if answer.is_temporary:
        return SenderDomainResult(domain, is_known=False)
    exchangers = sorted((one for one in answer.records if isinstance(one, MxRecord)), key=lambda one: one.preference)
    if exchangers and not any(one.exchange for one in exchangers):
        return SenderDomainResult(domain, ("null_mx",))
    hosts = [one.exchange for one in exchangers if one.exchange] or [domain]
    answers = [one for _, both in await addresses_of(dns, hosts[:HOSTS_LIMIT], seconds) for one in both]
    return _judged(domain, answers)


def _judged(domain: str, answers: list[DnsAnswer]) -> SenderDomainResult:
    addresses = [address_of(text) for answer in answers for text in answer.records if isinstance(text, str)]
    if any(one is not None and one.is_global and not one.is_multicast for one in addresses):
        return SenderDomainResult(domain)
    if any(answer.is_temporary for answer in answers):
        return SenderDomainResult(domain, is_known=False)
    return SenderDomainResult(domain, ("private",) if addresses else ("unknown",))


def _answer(result: SenderDomainResult, actions: Mapping[str, Action], on_fault: Action) -> Answer | None:
    domain = result.domain
    if not result.is_known:
        refusal = Refusal(replies.DNS_UNAVAILABLE, replies.DNS_UNAVAILABLE)
        return answer_to("sender_domain", "fault", on_fault, refusal, f"DNS does not answer for {domain}")
    return strongest(
        [
            answer_to(
                "sender_domain",
                one,
                actions[one],
                _NO_MAIL if one == "null_mx" else _REFUSAL,
                f"{domain} {_WORDS[one]}",
            )
            for one in result.findings
        ]
    )


POLICY: Final[BuiltIn] = BuiltIn(sender_domain, judges_client=True)
