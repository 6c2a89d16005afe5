"""Senders that their own domain does not allow to send from where they do: SPF (RFC 7208).

What was found out (`policies/checking`) stays with the transaction as `SpfResult`: greylisting lets pass who passes
here, rules can ask for it. A fault of DNS refuses nobody for good (RFC 7208 8.6). RFC 7208 8 (results), RFC 7372 3.2
(codes).
"""

from collections.abc import Awaitable, Mapping
from typing import Annotated, Final

from pydantic import Field

from postroad.model.dns import Lookup
from postroad.model.option import Duration
from postroad.net.clock import Clock
from postroad.policies.checking import check_sender
from postroad.policy.bind import BuiltIn
from postroad.policy.context import RcptContext
from postroad.policy.findings import SpfResult
from postroad.policy.strangers import Action, Networks, Ourselves, Refusal, answer_to, is_concerned
from postroad.policy.verdict import Answer
from postroad.smtp import replies

_REFUSAL: Final = Refusal(replies.SPF_FAILED, replies.SPF_FAILED_FOR_NOW)
_ERROR: Final = Refusal(replies.SPF_BROKEN, replies.SPF_UNAVAILABLE)


def spf(  # noqa: PLR0913  options
    ctx: RcptContext,
    *,
    dns: Lookup,
    clock: Clock,
    ourselves: Ourselves,
    fail: Annotated[Action, Field(description="The domain says that it is forged.")] = "reject",
    softfail: Annotated[Action, Field(description="The domain says that it is probably forged.")] = "tag",
    permerror: Annotated[Action, Field(description="The domain's record cannot be read.")] = "ignore",
    temperror: Annotated[Action, Field(description="DNS does not answer; reject means defer.")] = "ignore",
    timeout: Annotated[Duration, Field(description="How long the whole check may take.", ge=0.1, le=20)] = 15.0,
    exempt: Annotated[Networks, Field(description="Clients that are not checked: those that forward mail to us.")] = (),
    received_spf: Annotated[  # noqa: ARG001  for house/asked, which has it written when all is known
        bool, Field(description="Tell the result in a Received-SPF field, too (RFC 7208 9.1).")
    ] = False,
) -> Answer | Awaitable[Answer | None] | None:
    """Refuse, defer or tag mail from where the sender's domain says that it does not come from (SPF).

    Asked for mail of strangers to our own domains, but not to the postmaster; once for a transaction. Each result has
    its own answer: "reject" (550 5.7.23, for a broken record 550 5.7.24), "defer" (451), "tag" (with `spf:` and the
    result) or "ignore". The domain's own explanation of a fail is in the log and is not told to the client. Whoever
    forwards mail to us without a sender of its own fails: name it in `exempt`. With `received_spf` what
    was found leaves with the message in a field Received-SPF, and those that say they were written by us are not sent
    on. The result stays with the transaction as `SpfResult`.
    """
    if not is_concerned(ctx, ourselves, exempt):
        return None
    actions: dict[str, Action] = {"fail": fail, "softfail": softfail, "permerror": permerror}
    actions["temperror"] = "defer" if temperror == "reject" else temperror
    known = ctx.facts.get(SpfResult)
    if known is not None:
        return _answer(known, actions)
    return _later(check_sender(ctx, dns, ourselves.hostname, clock, timeout=timeout), actions)


async def _later(pending: Awaitable[SpfResult], actions: Mapping[str, Action]) -> Answer | None:
    return _answer(await pending, actions)


def _answer(found: SpfResult, actions: Mapping[str, Action]) -> Answer | None:
    action = actions.get(found.result, "ignore")
    refusal = _ERROR if found.result in ("permerror", "temperror") else _REFUSAL
    what = f"{found.result} of {found.domain} ({found.identity}): {found.reason}"
    if found.explanation:
        what += f" (its explanation: {found.explanation})"
    return answer_to("spf", found.result, action, refusal, what)


POLICY: Final[BuiltIn] = BuiltIn(spf, judges_client=True)
