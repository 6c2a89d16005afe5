"""Is DNS fit for mail: it answers, it answers soon, and it invents nothing.

A resolver that answers for names that do not exist sends mail with a mistyped domain to a stranger and breaks block
lists; without a validating one on this host nothing that DNSSEC protects can be relied on (RFC 7672 2.1.1).
"""

import secrets
from collections.abc import AsyncIterator
from typing import Final

from postroad.doctor.around import Around
from postroad.doctor.finding import Finding, ok, problem, unknown, warning
from postroad.model.dns import DnsStatus
from postroad.model.option import parse_endpoint
from postroad.net.addresses import is_loopback

ABOUT: Final = "resolver"
SLOW: Final = 0.5  # seconds for an answer that nobody has in a cache
KNOWN: Final = "org"  # a zone that is there, is signed, and that nobody minds to be asked about


async def check_resolver(around: Around) -> AsyncIterator[Finding]:
    """Ask for what is there, and for what is not."""
    servers = ", ".join(around.nameservers)
    began = around.clock.monotonic()
    answer = await around.lookup(KNOWN, "NS")
    took = around.clock.monotonic() - began
    if answer.is_temporary:
        mend = (
            "name a resolver that works in resolver.nameservers, best one on this host (unbound); "
            "without DNS no MX is found"
        )
        yield problem(ABOUT, f"{servers}: no answer: {answer.status.value}", mend)
        return
    if took > SLOW:
        yield warning(
            ABOUT, f"{servers}: an answer took {took:.1f} s", "run a caching resolver on this host, such as unbound"
        )
    else:
        yield ok(ABOUT, f"{servers}: answers within {took * 1000:.0f} ms")
    yield await _honesty(around)
    yield await _validation(around)


async def _honesty(around: Around) -> Finding:
    name = f"{secrets.token_hex(8)}.relay-test.invalid"
    answer = await around.lookup(name, "A")
    about = f"{ABOUT}: names that do not exist"
    if answer.status is DnsStatus.FOUND:
        mend = "ask another resolver: mail with a mistyped domain would go there, and block lists would list everybody"
        return problem(about, f"it makes up {answer.records[0]} for {name}", mend)
    if answer.is_temporary:
        return unknown(about, f"no answer: {answer.status.value}")
    return ok(about, "it says that they do not exist")


async def _validation(around: Around) -> Finding:
    about = f"{ABOUT}: DNSSEC"
    proof = await around.prove()
    if proof.validates:
        return ok(about, f"{proof.words}: what DNSSEC protects can be relied on, DANE first of all")
    if proof.validates is None:
        return unknown(about, proof.words, "see to it that the resolver answers for what resolver.signed_name names")
    local = all(is_loopback(parse_endpoint(text, default_port=53)[0]) for text in around.nameservers)
    mend = (
        "let it validate (unbound: auto-trust-anchor-file)"
        if local
        else "run a validating resolver on this host and name it, and no other, in resolver.nameservers"
    )
    return warning(about, f"{proof.words}: what DNSSEC protects, DANE first of all, is not used", mend)
