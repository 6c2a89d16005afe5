"""What a rule does, compiled from its `then`: the end it brings about, and what is changed of the message.

Several changes go together, with each other and with being accepted; what is refused or thrown away has nothing left
to be changed. Pure.
"""

from typing import Final

from msgspec import Struct

from postroad.model.address import parse_mailbox
from postroad.model.reply import Reply
from postroad.policy.rules.settings import ThenSettings
from postroad.policy.rules.situation import CONNECT, MAIL, MESSAGE, RCPT
from postroad.policy.rules.text import parse_refusal
from postroad.policy.verdict import Adjust
from postroad.smtp import replies

NONE: Final = ""
ACCEPT: Final = "accept"
REJECT: Final = "reject"
DEFER: Final = "defer"
DISCARD: Final = "discard"
REFUSING: Final = frozenset({REJECT, DEFER, DISCARD})

QUARANTINE: Final = "quarantine"


class Action(Struct, frozen=True):
    """`end` is one of the words above, `reply` goes with reject and defer; `adjust` has no reason yet.

    `rates` are those of `[[rates]]` that it has to fit into.
    """

    end: str = NONE
    reply: Reply | None = None
    adjust: Adjust | None = None
    rates: tuple[str, ...] = ()


def compile_then(then: ThenSettings) -> Action:
    """The action of `then`; ValueError for a text that cannot be told."""
    if then.reject is not None:
        return Action(REJECT, parse_refusal(then.reject, replies.RULE_REJECTED))
    if then.defer is not None:
        return Action(DEFER, parse_refusal(then.defer, replies.RULE_DEFERRED))
    if then.discard:
        return Action(DISCARD)
    adjust = Adjust(
        "",
        tags=(*then.tag, *([QUARANTINE] if then.quarantine else ())),
        hold=then.hold or then.quarantine,
        route=then.route,
        tls=then.tls,
        sender=parse_mailbox(then.sender) if then.sender else None,
        redirect=tuple(map(parse_mailbox, then.redirect)),
        add=tuple(map(parse_mailbox, then.add)),
    )
    return Action(ACCEPT if then.accept else NONE, None, None if adjust == Adjust("") else adjust, then.rate)


def stage_of(action: Action, stage: int) -> int:
    """The first stage from `stage` on at which `action` can be carried out.

    There is a message from stage mail on. Who gets it is changed recipient by recipient where the rule is about
    recipients, else once for all of them.
    """
    adjust = action.adjust
    if adjust is not None and (adjust.redirect or adjust.add):
        return RCPT if stage == RCPT else MESSAGE
    if stage == CONNECT and (adjust is not None or action.rates or action.end == DISCARD):
        return MAIL
    return stage
