"""Signatures of strangers' mail, and the seals of the relays before us: whether they hold.

What was found out (`policies/checking`) stays with the transaction: `DkimResults` and `ArcResult`. A failure alone is
a poor reason to refuse mail: lists break signatures, and who forges leaves them out (RFC 6376 6.1). RFC 8617 5.2
(chains), RFC 7372 3.1 (codes).
"""

from collections.abc import Awaitable
from typing import Annotated, Final, Literal

from msgspec import Struct
from pydantic import Field

from postroad.mailauth.dkim_result import NONE, TEMPERROR, DkimResults
from postroad.mailauth.dkim_verify import SIGNATURES_LIMIT
from postroad.model.dns import Lookup
from postroad.model.option import Duration
from postroad.net.clock import Clock
from postroad.policies.checking import check_signatures
from postroad.policy.bind import BuiltIn
from postroad.policy.context import MessageContext
from postroad.policy.networks import is_within
from postroad.policy.strangers import Action, Networks, Refusal, answer_to, is_stranger
from postroad.policy.verdict import Answer, Defer
from postroad.smtp import replies

_REFUSAL: Final = Refusal(replies.DKIM_FAILED, replies.DKIM_FAILED_FOR_NOW)


class _Wish(Struct, frozen=True):
    """What is to follow."""

    fail: Action
    on_fault: str


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
    wish = _Wish(fail, on_fault)
    found = check_signatures(ctx, dns, clock, timeout=timeout, most=signatures)
    return _answer(found, wish) if isinstance(found, DkimResults) else _later(found, wish)


async def _later(pending: Awaitable[DkimResults], wish: _Wish) -> Answer | None:
    return _answer(await pending, wish)


def _answer(found: DkimResults, wish: _Wish) -> Answer | None:
    counted = [one for one in found.results if not one.is_testing and one.result != NONE]
    if not counted or found.domains:
        return None
    reason = "; ".join(dict.fromkeys(one.reason for one in counted))
    if any(one.result == TEMPERROR for one in counted):
        return Defer(replies.DKIM_FAILED_FOR_NOW, f"dkim: {reason}") if wish.on_fault == "defer" else None
    return answer_to("dkim", "fail", wish.fail, _REFUSAL, reason)


POLICY: Final[BuiltIn] = BuiltIn(dkim)
