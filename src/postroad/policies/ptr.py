"""Clients whose address has no name of its own in DNS, as mail servers of the open Internet all have one.

Only a name that leads back to the address counts: anybody may claim any other (RFC 7208 5.5 checks names alike).
"""

from collections.abc import Awaitable, Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal

from pydantic import Field

from postroad.model.dns import Lookup
from postroad.model.option import Duration
from postroad.model.reverse import Address, address_of
from postroad.net.dns.asking import confirmed_names
from postroad.policy.bind import BuiltIn
from postroad.policy.context import RcptContext
from postroad.policy.findings import PtrResult
from postroad.policy.naming import looks_generic
from postroad.policy.strangers import Action, Networks, Ourselves, Refusal, answer_to, is_concerned, strongest
from postroad.policy.verdict import Answer
from postroad.smtp import replies

_REFUSAL: Final = Refusal(replies.BAD_REVERSE_DNS, replies.BAD_REVERSE_DNS_FOR_NOW)
_WORDS: Final = MappingProxyType(
    {
        "missing": "has no name in DNS",
        "unconfirmed": "has only names in DNS that do not lead back to it",
        "generic": "has only names as providers give them to customers",
    }
)


def ptr(  # noqa: PLR0913  options
    ctx: RcptContext,
    *,
    dns: Lookup,
    ourselves: Ourselves,
    missing: Annotated[Action, Field(description="The address has no name.")] = "tag",
    unconfirmed: Annotated[Action, Field(description="No name of it leads back to it.")] = "tag",
    generic: Annotated[
        Action, Field(description="All confirmed names look as providers make them for customers.")
    ] = "tag",
    on_fault: Annotated[Literal["ignore", "defer"], Field(description="DNS does not answer.")] = "ignore",
    timeout: Annotated[Duration, Field(description="How long DNS is waited for, twice.", ge=0.1, le=14)] = 5.0,
    exempt: Annotated[Networks, Field(description="Clients that need no name.")] = (),
) -> Answer | Awaitable[Answer | None] | None:
    """Refuse, defer or tag mail of clients whose address has no good name in DNS (PTR, confirmed by A or AAAA).

    Asked for mail of strangers to our own domains, but not to the postmaster. Each finding has its own answer:
    "reject" (550 5.7.25), "defer" (450 4.7.25), "tag" (with `ptr:` and the finding) or "ignore". Names and findings
    stay with the transaction as `PtrResult`.
    """
    address = address_of(ctx.peer.ip)
    if address is None or not is_concerned(ctx, ourselves, exempt):
        return None
    actions: dict[str, Action] = {"missing": missing, "unconfirmed": unconfirmed, "generic": generic}
    known = ctx.facts.get(PtrResult)
    if known is not None:
        return _answer(ctx, known, actions, on_fault)
    return _look_up(ctx, dns, address, timeout, actions, on_fault)


async def _look_up(
    ctx: RcptContext,
    dns: Lookup,
    address: Address,
    seconds: float,
    actions: Mapping[str, Action],
    on_fault: Action,
) -> Answer | None:
    found = await confirmed_names(dns, address, seconds)
    findings: tuple[str, ...] = ()
    if found.is_known and not found.names:
        findings = ("unconfirmed",) if found.claimed else ("missing",)
    elif found.names and all(looks_generic(name, address) for name in found.names):
        findings = ("generic",)
    result = PtrResult(found.names, findings, found.is_known)
    ctx.facts.put(result)
    return _answer(ctx, result, actions, on_fault)


def _answer(ctx: RcptContext, result: PtrResult, actions: Mapping[str, Action], on_fault: Action) -> Answer | None:
    ip = ctx.peer.ip
    if not result.is_known:
        refusal = Refusal(replies.DNS_UNAVAILABLE, replies.DNS_UNAVAILABLE)
        return answer_to("ptr", "fault", on_fault, refusal, f"DNS does not answer for {ip}")
    return strongest([answer_to("ptr", one, actions[one], _REFUSAL, f"{ip} {_WORDS[one]}") for one in result.findings])


POLICY: Final[BuiltIn] = BuiltIn(ptr, judges_client=True)
