"""Signatures of strangers' mail, and the seals of the relays before us: whether they hold.

Keys are asked for side by side, each within its time, while the body is hashed in one pass. What was found out stays
with the transaction: `DkimResults` and `ArcResult`. A failure alone is a poor reason to refuse mail: lists break
signatures, and who forges leaves them out (RFC 6376 6.1). RFC 8617 5.2 (chains), RFC 7372 3.1 (codes).
"""

import asyncio
from collections.abc import Awaitable
from typing import Annotated, Final, Literal

from msgspec import Struct
from pydantic import Field

from postroad.mailauth.arc import Chain
from postroad.mailauth.body_hash import BodyHashes, read_body
from postroad.mailauth.dkim_result import NONE, TEMPERROR, DkimResults
from postroad.mailauth.dkim_verify import SIGNATURES_LIMIT, Verification
from postroad.mailauth.fields import Fields
from postroad.message.headers import header_section
from postroad.model.dns import Lookup
from postroad.model.option import Duration
from postroad.net.asking import ask_all
from postroad.net.clock import Clock
from postroad.policy.bind import BuiltIn
from postroad.policy.context import MessageContext
from postroad.policy.networks import is_within
from postroad.policy.strangers import Action, Networks, Refusal, answer_to, is_stranger
from postroad.policy.verdict import Answer, Defer
from postroad.smtp import replies

_SECOND: Final = 1_000_000  # microseconds
_REFUSAL: Final = Refusal(replies.DKIM_FAILED, replies.DKIM_FAILED_FOR_NOW)


class _Wish(Struct, frozen=True):
    """What is to follow."""

    fail: Action
    on_fault: str
    timeout: float


def dkim(  # noqa: PLR0913  options
    ctx: MessageContext,
    *,
    dns: Lookup,
    clock: Clock,
    fail: Annotated[Action, Field(description="It is signed, and no signature holds.")] = "ignore",
    on_fault: Annotated[
        Literal["ignore", "defer"], Field(description="No signature holds, and DNS did not answer for a key.")
    ] = "ignore",
    signatures: Annotated[
        int, Field(description="How many signatures are looked at, from the top.", ge=1, le=50)
    ] = SIGNATURES_LIMIT,
    timeout: Annotated[Duration, Field(description="How long DNS is waited for.", ge=0.1, le=25)] = 10.0,
    exempt: Annotated[Networks, Field(description="Clients whose mail is not looked at.")] = (),
) -> Answer | Awaitable[Answer | None] | None:
    """Check DKIM signatures and ARC seals; refuse, defer or tag mail whose signatures do not hold, if that is wished.

    Asked for mail of strangers. What was found out stays with the transaction as `DkimResults` and `ArcResult`, for
    policies of your own: each signature's result with its domain and reason. `fail` says what follows when there are
    signatures and none holds: "reject" (550 5.7.20), "defer" (450), "tag" (`dkim:fail`) or "ignore"; signatures of
    domains that only try DKIM out count for nothing. When DNS fails nobody is refused for good: `on_fault` says what
    happens.
    """
    if not is_stranger(ctx.peer) or ctx.origin.login or (exempt and is_within(ctx.peer.ip, exempt)):
        return None
    section = header_section(ctx.head)
    fields = Fields(section)
    body = BodyHashes()
    now = clock.now() // _SECOND
    verification = Verification(fields, body, now, most=signatures)
    chain = Chain(fields, body, now)
    wish = _Wish(fail, on_fault, timeout)
    if not body.is_wanted:  # no signature that could hold
        body.finish()
        ctx.facts.put(chain.result({}))
        return _answer(ctx, DkimResults(verification.results({})), wish)
    return _check(ctx, dns, len(section), (verification, chain, body), wish)


async def _check(
    ctx: MessageContext, dns: Lookup, end: int, parts: tuple[Verification, Chain, BodyHashes], wish: _Wish
) -> Answer | None:
    verification, chain, body = parts
    names = tuple(dict.fromkeys(verification.key_names + chain.key_names))
    asking = ask_all(dns, ((name, "TXT", wish.timeout) for name in names))
    found, _ = await asyncio.gather(asking, read_body(ctx.content, end, body))
    answers = dict(zip(names, found, strict=True))
    ctx.facts.put(chain.result(answers))
    return _answer(ctx, DkimResults(verification.results(answers)), wish)


def _answer(ctx: MessageContext, found: DkimResults, wish: _Wish) -> Answer | None:
    ctx.facts.put(found)
    counted = [one for one in found.results if not one.is_testing and one.result != NONE]
    if not counted or found.domains:
        return None
    reason = "; ".join(dict.fromkeys(one.reason for one in counted))
    if any(one.result == TEMPERROR for one in counted):
        return Defer(replies.DKIM_FAILED_FOR_NOW, f"dkim: {reason}") if wish.on_fault == "defer" else None
    return answer_to("dkim", "fail", wish.fail, _REFUSAL, reason)


POLICY: Final[BuiltIn] = BuiltIn(dkim)
