"""What is asked of a whole message before it is put: the policies of stage message, then what its recipients stand for.

Only messages that somebody has an opinion on come here. Whoever answers at once costs no task; whoever does not is
waited for within bounds, and a fault of theirs defers this message alone: nothing is lost and nothing wrongly taken.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Final

from postroad.listener.receipt import Arrival, Receipt
from postroad.model.envelope import Envelope, Recipient
from postroad.model.expansion import Expanded, Expansion, Incoming, Unexpanded
from postroad.model.records import Emit, PolicyFaulted, RecipientExpanded
from postroad.policy.adjusting import recipients_after, total
from postroad.policy.verdict import VERDICTS, Accept, Discard, Verdict
from postroad.smtp import replies
from postroad.spool.draft import whole

EXPAND_SECONDS: Final = 60.0  # for all look-ups of one message
TOLD: Final = 20  # addresses of an expansion in its record

Expand = Callable[[Incoming], Expanded | Unexpanded | Awaitable[Expanded | Unexpanded]]
Announce = Callable[[Envelope, list[Recipient], bytes], None]


class Consultation:
    """Asks, and goes on with `put` or `discard`."""

    def __init__(  # noqa: PLR0913  intake passes the parts by name
        self,
        *,
        put: Callable[[Arrival], None],
        discard: Callable[[Arrival, str], None],
        emit: Emit,
        now: Callable[[], int],
        expand: Expand | None,
        announce: Announce | None,
        patience: float,
    ) -> None:
        """`expand` may change recipients, within `patience` seconds; `discard` is told why nothing is to be put.

        `announce` tells a sender that asked for it which recipients became several.
        """
        self._put = put
        self._discard = discard
        self._emit = emit
        self._now = now
        self._expand = expand
        self._announce = announce
        self._patience = patience
        self._running: set[asyncio.Task[None]] = set()

    def begin(self, arrival: Arrival) -> None:
        """Ask all there is to ask about `arrival`; its `done` is called once, now or later."""
        answer = arrival.transaction.ask_message(arrival.head, arrival.ended.size, whole(arrival.content))
        if answer is None or isinstance(answer, VERDICTS):
            self._judged(arrival, answer)
        else:
            self._later(self._await_verdict(arrival, answer))

    def _later(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _await_verdict(self, arrival: Arrival, pending: Awaitable[Verdict | None]) -> None:
        self._judged(arrival, await pending)

    def _judged(self, arrival: Arrival, verdict: Verdict | None) -> None:
        transaction = arrival.transaction
        if isinstance(verdict, Discard):
            self._discard(arrival, verdict.reason)
        elif verdict is not None and not isinstance(verdict, Accept):
            arrival.refuse(Receipt(verdict.reply, verdict.reason, verdict.leave))
        elif transaction.discarded or not transaction.recipients:
            self._discard(arrival, transaction.discarded or "all recipients were discarded")
        else:
            self._look_up(arrival)

    # -- what recipients stand for ---------------------------------------------------------------

    def _look_up(self, arrival: Arrival) -> None:
        transaction = arrival.transaction
        recipients = transaction.recipients
        if transaction.adjustments:
            recipients = arrival.became = recipients_after(recipients, total(transaction.adjustments))
        if self._expand is None:
            self._put(arrival)
            return
        incoming = Incoming(transaction.mail.path, recipients, transaction.origin, arrival.ended.size)
        try:
            found = self._expand(incoming)
        except Exception as error:  # noqa: BLE001  a policy's seam: a fault in the door defers this message alone
            self._expanded(arrival, self._fault(repr(error)))
            return
        if isinstance(found, Expanded | Unexpanded):
            self._expanded(arrival, found)
        else:
            self._later(self._await_expansion(arrival, found))

    async def _await_expansion(self, arrival: Arrival, pending: Awaitable[Expanded | Unexpanded]) -> None:
        try:
            async with asyncio.timeout(self._patience):
                answer = await pending
        except TimeoutError:
            answer = Unexpanded(replies.ALIASES_UNAVAILABLE, f"recipients: no answer within {self._patience:g} s")
        except Exception as error:  # noqa: BLE001  the seam, as above
            answer = self._fault(repr(error))
        self._expanded(arrival, answer)

    def _expanded(self, arrival: Arrival, answer: Expanded | Unexpanded) -> None:
        if isinstance(answer, Unexpanded):
            arrival.refuse(Receipt(answer.reply, answer.reason))
            return
        arrival.became = answer.recipients
        if answer.expansions:
            arrival.told = partial(self._tell, answer.expansions, arrival.head)
        self._put(arrival)

    def _fault(self, reason: str) -> Unexpanded:
        self._emit(PolicyFaulted(at=self._now(), policy="recipients", stage="message", reason=reason))
        return Unexpanded(replies.POLICY_ERROR, f"changing recipients failed: {reason}")

    def _tell(self, expansions: tuple[Expansion, ...], beginning: bytes, envelope: Envelope) -> None:
        """Report what became of recipients, and to the sender where it asked (RFC 3461 5.2.7.3)."""
        for expansion in expansions:
            recipient, to = expansion.recipient.address.text, expansion.to
            self._emit(
                RecipientExpanded(at=envelope.arrived, id=envelope.id, recipient=recipient, to=to[:TOLD], count=len(to))
            )
        asked = [entry.recipient for entry in expansions if len(entry.to) > 1 and entry.recipient.wants_success()]
        if asked and self._announce is not None and not envelope.sender.is_null:
            self._announce(envelope, asked, beginning)
