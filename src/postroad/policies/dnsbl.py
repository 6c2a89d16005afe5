"""Strangers that block lists have are refused, those that allow lists have are let through.

All lists are asked side by side, each within its own time; what several say is added up. What was found out stays with
the transaction as `DnsListResult`, and DNS keeps the answers. RFC 5782 2.1 (answers), RFC 5782 2.4 (IPv6).
"""

from collections.abc import Awaitable, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Final

from pydantic import Field

from postroad.model.dns import Lookup
from postroad.model.reverse import Address, address_of
from postroad.net.dns.asking import ask_all, confirmed_names
from postroad.policy.bind import BuiltIn
from postroad.policy.context import RcptContext
from postroad.policy.dnslists import DnsListSettings, Question, Zone, question_of, read, score_of, words
from postroad.policy.findings import DnsListHit, DnsListResult
from postroad.policy.naming import looks_generic
from postroad.policy.strangers import Faults, Networks, Ourselves, is_concerned
from postroad.policy.verdict import Adjust, Answer, Defer, Reject
from postroad.smtp import replies

PTR_SECONDS: Final = 4.0  # for each step to the names of an address, of which a list is asked after
Score = Annotated[float, Field(ge=0, le=1_000_000)]


def dnsbl(  # noqa: PLR0913  options
    ctx: RcptContext,
    *,
    dns: Lookup,
    ourselves: Ourselves,
    faults: Faults,
    zones: Annotated[
        tuple[Zone, ...], Field(description="Lists of clients' addresses that weigh 1 each; short for `lists`.")
    ] = (),
    lists: Annotated[tuple[DnsListSettings, ...], Field(description="Lists, with all that can be said of them.")] = (),
    reject: Annotated[Score, Field(description="Refuse for good (554 5.7.1) what weighs so much; 0: never.")] = 1.0,
    defer: Annotated[Score, Field(description="Refuse for now (450 4.7.1) what weighs so much; 0: never.")] = 0.0,
    tag: Annotated[Score, Field(description="Tag with `dnsbl` what weighs so much; 0: never.")] = 0.0,
    exempt: Annotated[Networks, Field(description="Clients that are not asked about.")] = (),
) -> Answer | Awaitable[Answer | None] | None:
    """Refuse, defer or tag mail of clients, names and senders that DNS block lists have.

    Asked for mail of strangers to our own domains, but not to the postmaster. A list weighs its `weight` when one of
    its `codes` is the answer; the sum decides. Allow lists have negative weights. An answer outside 127.0.0.0/8, or one
    of 127.255.255.0/24 by which lists refuse to answer, is no listing: a record `CheckFaulted` tells of it. The same
    is done when DNS fails: nobody is refused because a list cannot be asked.
    """
    if not is_concerned(ctx, ourselves, exempt):
        return None
    asking = all_lists(zones, lists)
    limits = (reject, defer, tag)
    result = ctx.facts.get(DnsListResult) or DnsListResult()
    if not any(one.of == "ptr" for one in asking):
        questions = _questions(ctx, asking, ())
        if all(question.key in result.asked for question in questions):
            return _answer(asking, questions, result, limits)
    return _ask(ctx, dns, faults, asking, limits)


@lru_cache(64)  # a pure function of its arguments
def all_lists(zones: tuple[str, ...], lists: tuple[DnsListSettings, ...]) -> tuple[DnsListSettings, ...]:
    """The lists that are named by their zone alone, then the others."""
    return (*(DnsListSettings(zone=zone) for zone in zones), *lists)


async def _ask(
    ctx: RcptContext,
    dns: Lookup,
    faults: Faults,
    lists: Sequence[DnsListSettings],
    limits: tuple[float, float, float],
) -> Answer | None:
    names: tuple[str, ...] = ()
    address = address_of(ctx.peer.ip)
    if address is not None and any(one.of == "ptr" for one in lists):
        confirmed = await confirmed_names(dns, address, PTR_SECONDS)
        names = tuple(name for name in confirmed.names if not looks_generic(name, address))
    questions = _questions(ctx, lists, names)
    result = ctx.facts.get(DnsListResult) or DnsListResult()
    fresh = [question for question in questions if question.key not in result.asked]
    answers = await ask_all(dns, ((one.name, "A", one.list.timeout) for one in fresh))
    hits = list(result.hits)
    asked = set(result.asked)
    for question, answer in zip(fresh, answers, strict=True):
        hit, fault = read(question, answer)
        if fault:
            faults.tell("dnsbl", question.list.shown, fault)
        else:
            asked.add(question.key)
        if hit is not None:
            hits.append(hit)
    result = DnsListResult(score_of(hits), tuple(hits), frozenset(asked))
    ctx.facts.put(result)
    return _answer(lists, questions, result, limits)


def _questions(ctx: RcptContext, lists: Sequence[DnsListSettings], names: Sequence[str]) -> list[Question]:
    address = address_of(ctx.peer.ip)
    subjects: dict[str, Sequence[str | Address]] = {
        "client": () if address is None else (address,),
        "helo": (ctx.origin.helo,),
        "sender": (ctx.sender.domain,),
        "ptr": names,
    }
    found = (question_of(one, subject) for one in lists for subject in subjects[one.of])
    return [question for question in found if question is not None]


def _answer(
    lists: Sequence[DnsListSettings],
    questions: Sequence[Question],
    result: DnsListResult,
    limits: tuple[float, float, float],
) -> Answer | None:
    """What the hits of this policy's own lists come to."""
    ours = {(question.list.shown, question.subject, question.list.weight) for question in questions}
    hits = [hit for hit in result.hits if (hit.list, hit.subject, hit.weight) in ours]
    if not hits:
        return None
    score = score_of(hits)
    reason = f"dnsbl: {words(hits)}: {score:g}"
    heaviest = max(hits, key=lambda hit: hit.weight)
    reject, defer, tag = limits
    if 0 < reject <= score:
        return Reject(replies.listed(*_told(lists, heaviest)), reason)
    if 0 < defer <= score:
        return Defer(replies.listed_for_now(*_told(lists, heaviest)), reason)
    return Adjust(reason, tags=("dnsbl",)) if 0 < tag <= score else None


def _told(lists: Sequence[DnsListSettings], hit: DnsListHit) -> tuple[str, str, str]:
    text = next((one.help for one in lists if one.shown == hit.list and one.help), "")
    return hit.subject, hit.list, text.replace("{subject}", hit.subject)


def _check(options: Mapping[str, object]) -> str:
    if not options["zones"] and not options["lists"]:
        return 'needs zones = ["list.example.org"] or [[policies.lists]]'
    if not any(options[name] for name in ("reject", "defer", "tag")):
        return "reject, defer and tag are all 0: nothing would follow"
    return ""


POLICY: Final[BuiltIn] = BuiltIn(dnsbl, _check, judges_client=True)
