"""Names that strangers give themselves, as no honest mail server does.

A client that calls itself by our name or address lies; one without a valid name breaks RFC 5321 4.1.1.1. RFC 5321 4.1.4
forbids to refuse mail because a name does not match the client's address, so that is not looked at.
"""

from collections.abc import Awaitable, Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal

from pydantic import Field

from postroad.model.dns import DnsStatus, Lookup
from postroad.model.option import Duration
from postroad.net.dns.asking import ask_all
from postroad.policy.bind import BuiltIn
from postroad.policy.context import RcptContext
from postroad.policy.findings import HeloResult
from postroad.policy.naming import fault_of, literal_address
from postroad.policy.settings import DomainPattern
from postroad.policy.strangers import (
    Action,
    Networks,
    Ourselves,
    Refusal,
    answer_to,
    covers,
    is_concerned,
    strongest,
)
from postroad.policy.verdict import Answer
from postroad.smtp import replies

_KINDS: Final = ("A", "AAAA", "MX")
_REFUSAL: Final = Refusal(replies.BAD_HELO, replies.BAD_HELO_FOR_NOW)
_WORDS: Final = MappingProxyType(
    {
        "own": "is our own",
        "invalid": "is neither a host name nor an address literal",
        "unqualified": "has no domain",
        "literal": "is an address literal",
        "unresolvable": "is not in DNS",
    }
)


def helo(  # noqa: PLR0913  options
    ctx: RcptContext,
    *,
    dns: Lookup,
    ourselves: Ourselves,
    own: Annotated[Action, Field(description="The name is ours, or an address literal of ours.")] = "reject",
    own_names: Annotated[
        tuple[DomainPattern, ...],
        Field(description='Further names that no stranger may use: "mail.example.com", "*.example.com".'),
    ] = (),
    invalid: Annotated[Action, Field(description="It is neither a host name nor an address literal.")] = "reject",
    unqualified: Annotated[Action, Field(description='It is a host name without a domain, like "localhost".')] = "tag",
    literal: Annotated[Action, Field(description="It is an address literal, which the standard allows.")] = "ignore",
    unresolvable: Annotated[Action, Field(description="DNS has neither an address nor an MX of it.")] = "tag",
    on_fault: Annotated[Literal["ignore", "defer"], Field(description="DNS does not answer.")] = "ignore",
    timeout: Annotated[Duration, Field(description="How long DNS is waited for.", ge=0.1, le=25)] = 5.0,
    exempt: Annotated[Networks, Field(description="Clients that may call themselves what they like.")] = (),
) -> Answer | Awaitable[Answer | None] | None:
    """Refuse, defer or tag mail of clients that give themselves a false or useless name in EHLO or HELO.

    Asked for mail of strangers to our own domains, but not to the postmaster. Each finding has its own answer:
    "reject" (550 5.7.1), "defer" (450 4.7.1), "tag" (with `helo:` and the finding) or "ignore". Whether a name leads
    to the client's address is not looked at: the standard forbids to refuse mail for that (RFC 5321 4.1.4). The
    findings stay with the transaction as `HeloResult`.
    """
    if not is_concerned(ctx, ourselves, exempt):
        return None
    name = ctx.origin.helo
    actions: dict[str, Action] = {
        "own": own,
        "invalid": invalid,
        "unqualified": unqualified,
        "literal": literal,
        "unresolvable": unresolvable,
    }
    if _is_own(name, ourselves, own_names):
        ctx.facts.put(HeloResult(name, ("own",)))
        return _answer(name, ("own",), actions)
    fault = fault_of(name)
    if fault:
        ctx.facts.put(HeloResult(name, (fault,)))
        return _answer(name, (fault,), actions)
    known = ctx.facts.get(HeloResult)
    if known is not None and known.name == name:
        return _answer(name, known.findings, actions)
    return _look_up(ctx, dns, timeout, actions, on_fault)


async def _look_up(
    ctx: RcptContext, dns: Lookup, seconds: float, actions: Mapping[str, Action], on_fault: Action
) -> Answer | None:
    name = ctx.origin.helo
    answers = await ask_all(dns, ((name, kind, seconds) for kind in _KINDS))
    found = any(answer.status is DnsStatus.FOUND for answer in answers)
    if not found and any(answer.is_temporary for answer in answers):
        refusal = Refusal(replies.DNS_UNAVAILABLE, replies.DNS_UNAVAILABLE)
        return answer_to("helo", "fault", on_fault, refusal, f"DNS does not answer for {name}")
    result = HeloResult(name, () if found else ("unresolvable",))
    ctx.facts.put(result)
    return _answer(name, result.findings, actions)


def _is_own(name: str, ourselves: Ourselves, own_names: tuple[str, ...]) -> bool:
    address = literal_address(name)
    if address is not None:
        return str(address) in ourselves.addresses
    host = name.lower().removesuffix(".")
    return host == ourselves.hostname or covers(own_names, host)


def _answer(name: str, findings: tuple[str, ...], actions: Mapping[str, Action]) -> Answer | None:
    shown = name[:255]
    return strongest([answer_to("helo", one, actions[one], _REFUSAL, f"{shown} {_WORDS[one]}") for one in findings])


POLICY: Final[BuiltIn] = BuiltIn(helo, judges_client=True)
