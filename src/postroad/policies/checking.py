"""SPF, signatures and seals, checked for whichever policy asks first, and kept as facts for the others.

SPF is about the domain of the sender, and for reports, which have none, the name that the client gave itself (RFC 7208
2.4). Keys are asked for side by side, each within its time, while the body is hashed in one pass. What was found out
stays with the transaction: `SpfResult`, `DkimResults`, `ArcResult`. A message without signatures that could hold is not
waited for.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Final

from postroad.mailauth.arc import Chain
from postroad.mailauth.body_hash import BodyHashes, read_body
from postroad.mailauth.dkim_result import DkimResults
from postroad.mailauth.dkim_verify import SIGNATURES_LIMIT, Verification
from postroad.mailauth.fields import Fields
from postroad.mailauth.spf import Spf, check_host
from postroad.message.headers import header_section
from postroad.model.dns import Answer, Lookup
from postroad.net.clock import Clock
from postroad.net.dns.asking import ask_all, side_by_side
from postroad.policy.context import MessageContext, RcptContext
from postroad.policy.findings import SignatureResult, SpfResult

_SECOND: Final = 1_000_000  # microseconds


async def check_sender(
    ctx: RcptContext | MessageContext, dns: Lookup, hostname: str, clock: Clock, *, timeout: float
) -> SpfResult:
    """What SPF says of the sender, within `timeout` seconds; `hostname` is our own name."""
    sender, helo = ctx.sender, ctx.origin.helo
    domain = helo.lower() if sender.is_null else sender.domain
    address = f"postmaster@{helo}" if sender.is_null else f"{sender.local}@{sender.domain}"
    now = clock.now() // _SECOND
    try:
        async with asyncio.timeout(timeout):
            found = await check_host(
                dns, ctx.peer.ip, domain, address, helo=helo, receiver=hostname, now=now, together=side_by_side
            )
    except TimeoutError:
        found = Spf("temperror", domain, reason=f"DNS took longer than {timeout:g} s")
    identity = "helo" if sender.is_null else "mailfrom"
    result = SpfResult(found.result, found.domain, identity, found.reason, found.term, found.explanation)
    ctx.facts.put(result)
    return result


def check_signatures(
    ctx: MessageContext, dns: Lookup, clock: Clock, *, timeout: float, most: int = SIGNATURES_LIMIT
) -> DkimResults | Awaitable[DkimResults]:
    """The results of the `most` topmost signatures; `timeout` is how long DNS is waited for, in seconds."""
    section = header_section(ctx.head)
    fields = Fields(section)
    body = BodyHashes()
    now = clock.now() // _SECOND
    verification = Verification(fields, body, now, most=most)
    chain = Chain(fields, body, now)
    if not body.is_wanted:  # no signature that could hold
        body.finish()
        return _put(ctx, verification, chain, {})
    return _check(ctx, dns, len(section), (verification, chain, body), timeout)


async def _check(
    ctx: MessageContext, dns: Lookup, end: int, parts: tuple[Verification, Chain, BodyHashes], timeout: float
) -> DkimResults:
    verification, chain, body = parts
    names = tuple(dict.fromkeys(verification.key_names + chain.key_names))
    asking = ask_all(dns, ((name, "TXT", timeout) for name in names))
    answers, _ = await asyncio.gather(asking, read_body(ctx.content, end, body))
    return _put(ctx, verification, chain, dict(zip(names, answers, strict=True)))


def _put(ctx: MessageContext, verification: Verification, chain: Chain, known: Mapping[str, Answer]) -> DkimResults:
    sealed, found = chain.result(known), DkimResults(verification.results(known))
    ctx.facts.put(sealed)
    ctx.facts.put(found)
    ctx.facts.put(SignatureResult(found.word, sealed.result))
    return found
