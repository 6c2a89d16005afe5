"""What is told of next hops that are asked about recipients. Everybody imports it from `records`.

A question is nothing but MAIL and RCPT: no content, and nobody's mail, is in these.
"""

from postroad.model.record import Record


class RecipientAsked(Record, frozen=True, tag="RecipientAsked"):
    """The next hop `target` was asked whether it takes mail for `recipient`, and `answer` is what it means.

    `reply` is what was said, or why nothing was. `answer` is "known", "unknown" or "unclear".
    """

    recipient: str
    target: str
    answer: str
    reply: str
    seconds: float


class CatchAllFound(Record, frozen=True, tag="CatchAllFound"):
    """The next hop `target` takes mail for every name in `domain`, an invented one too: asking it tells nothing."""

    domain: str
    target: str
