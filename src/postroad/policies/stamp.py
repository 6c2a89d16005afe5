"""What was found out about a stranger's message, in one Authentication-Results field on top of it (RFC 8601).

Asked last, of what all others take, whenever a policy of the listener finds out anything. Fields that claim to be of
us are not sent on: whoever trusts our name behind us would trust them too (RFC 8601 5). RFC 8601 2.7 (methods and
their words), RFC 6008 4 (header.b), RFC 8617 10.2 (arc), RFC 7489 11.1 (dmarc).
"""

from collections.abc import Callable, Iterator
from typing import Final

from postroad.mailauth.arc import ArcResult
from postroad.mailauth.dkim_result import DkimResult, DkimResults
from postroad.mailauth.results import AuthenticationResults, MethodResult, Property, bearing, results_field
from postroad.message.headers import header_section
from postroad.policy.chain import Policy
from postroad.policy.context import MessageContext
from postroad.policy.facts import Facts
from postroad.policy.findings import DmarcResult, PtrResult, SpfResult
from postroad.policy.strangers import is_stranger
from postroad.policy.verdict import Adjust


def make_stamp(hostname: str) -> Callable[[MessageContext], Adjust | None]:
    """The policy, for mail that `hostname` takes."""

    def stamp(ctx: MessageContext) -> Adjust | None:
        if not is_stranger(ctx.peer) or ctx.origin.login:
            return None
        cuts = bearing(header_section(ctx.head), hostname)
        field = results_field(AuthenticationResults(hostname, tuple(methods(ctx.facts, ctx.peer.ip))))
        count = sum(last - first for first, last in cuts)
        reason = f"results: {count} octets of Authentication-Results in our name are not sent on" if cuts else ""
        return Adjust(reason, headers=(field,), cuts=tuple(cuts))

    return stamp


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
        yield MethodResult("arc", arc.result, properties=oldest)
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
    return MethodResult("dkim", one.result, properties=tuple(told))


def _told(one: DkimResult) -> tuple[tuple[str, str], ...]:
    return ("d", one.domain), ("s", one.selector), ("a", one.algorithm), ("b", one.start)


MAKE: Final[Callable[[str], Policy[MessageContext]]] = make_stamp
