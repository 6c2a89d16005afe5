"""What was found out about a stranger's message, in one Authentication-Results field on top of it (RFC 8601).

Asked last, of what all others take; where a policy of the listener finds out anything it writes the field, and
whoever wants it gets a Received-SPF field below it. Fields that claim to be of us are not sent on, also of who has
logged in and where nothing is found out: whoever trusts our name behind us would trust them too (RFC 8601 5). Clients
in our own networks keep theirs: a filter that hands mail back does so with what was found out before it. RFC 8601 2.7
(methods and their words), RFC 6008 4 (header.b), RFC 8617 10.2 (arc), RFC 7489 11.1 (dmarc), RFC 7208 9.1
(Received-SPF).
"""

from collections.abc import Callable, Iterator
from typing import Final

from postroad.mailauth.arc import ArcResult
from postroad.mailauth.dkim_result import DkimResult, DkimResults
from postroad.mailauth.receivedspf import ReceivedSpf, naming, received_spf
from postroad.mailauth.results import AuthenticationResults, MethodResult, Property, bearing, results_field
from postroad.message.headers import header_section
from postroad.policy.context import MessageContext
from postroad.policy.facts import Facts
from postroad.policy.findings import DmarcResult, PtrResult, SpfResult
from postroad.policy.strangers import MakeStamp, is_stranger
from postroad.policy.verdict import Adjust


def make_stamp(hostname: str, *, finds: bool, has_spf: bool = False) -> Callable[[MessageContext], Adjust | None]:
    """The policy, for mail that `hostname` takes; `finds`: something is found out, `has_spf` asks for Received-SPF."""

    def stamp(ctx: MessageContext) -> Adjust | None:
        is_judged = is_stranger(ctx.peer) and not ctx.origin.login
        if not is_judged and not ctx.origin.login:
            return None
        section = header_section(ctx.head)
        fields = []
        forged = {"Authentication-Results": bearing(section, hostname)}
        if has_spf:
            forged["Received-SPF"] = naming(section, hostname)
        if finds and is_judged:
            fields.append(results_field(AuthenticationResults(hostname, tuple(methods(ctx.facts, ctx.peer.ip)))))
            fields += _received_spf(ctx, hostname) if has_spf else ()
        cuts = tuple(cut for found in forged.values() for cut in found)
        if not cuts:
            return Adjust("", headers=tuple(fields)) if fields else None
        count = sum(last - first for first, last in cuts)
        names = " and ".join(name for name, found in forged.items() if found)
        reason = f"results: {count} octets of {names} in our name are not sent on"
        return Adjust(reason, headers=tuple(fields), cuts=cuts)

    return stamp


def _received_spf(ctx: MessageContext, hostname: str) -> Iterator[str]:
    """The field, if SPF was asked: with what decided, or what went wrong (RFC 7208 9.1)."""
    spf = ctx.facts.get(SpfResult)
    if spf is None:
        return
    is_broken = spf.result in {"permerror", "temperror"}
    yield received_spf(
        ReceivedSpf(
            spf.result,
            hostname,
            spf.identity,
            ctx.peer.ip,
            ctx.sender.text,
            ctx.origin.helo,
            mechanism="" if is_broken or spf.result == "none" else spf.term or "default",
            problem=spf.reason if is_broken else "",
            comment=f"{spf.domain} cannot be checked" if is_broken else spf.reason,
        )
    )


def methods(facts: Facts, ip: str) -> Iterator[MethodResult]:
    """What is known, each method as RFC 8601 has it."""
    ptr, spf, dkim = facts.get(PtrResult), facts.get(SpfResult), facts.get(DkimResults)
    arc, dmarc = facts.get(ArcResult), facts.get(DmarcResult)
    if ptr is not None:
        yield MethodResult("iprev", _iprev(ptr), properties=(Property("policy", "iprev", ip),))
    if spf is not None:
        yield MethodResult("spf", spf.result, properties=(Property("smtp", spf.identity, spf.domain),))
    if dkim is not None:
        yield from map(_signature, dkim.results)
    if arc is not None and arc.result != "none":
        oldest = (Property("header", "oldest-pass", str(arc.oldest_pass)),) if arc.is_pass else ()
        yield MethodResult("arc", arc.result, "" if arc.is_pass else arc.reason, oldest)
    if dmarc is not None:
        told = (Property("header", "from", dmarc.domain), Property("policy", "dmarc", dmarc.policy))
        yield MethodResult("dmarc", dmarc.result, dmarc.override, tuple(one for one in told if one.value))


def _iprev(ptr: PtrResult) -> str:
    """RFC 8601 2.7.3."""
    if ptr.names:
        return "pass"
    if not ptr.is_known:
        return "temperror"
    return "permerror" if "missing" in ptr.findings else "fail"


def _signature(one: DkimResult) -> MethodResult:
    told = (Property("header", name, value) for name, value in _told(one) if value)
    return MethodResult("dkim", one.result, one.reason if one.result not in ("pass", "none") else "", tuple(told))


def _told(one: DkimResult) -> tuple[tuple[str, str], ...]:
    return ("d", one.domain), ("s", one.selector), ("a", one.algorithm), ("b", one.start)


MAKE: Final[MakeStamp] = make_stamp
