"""What the replies to a question by RCPT mean: yes, no, or neither (pure).

Only what speaks of the address is a no (RFC 3463 3.2): a refusal of us, of our sender or of the moment is none, so
that a policy of the next hop never becomes "no such recipient" here. 5.4.1 is how Exchange Online refuses names that
its directory does not have. Replies without an enhanced code go by the basic one (RFC 5321 4.2.3).
"""

from enum import Enum
from typing import Final

from postroad.model.reply import Reply


class Meaning(Enum):
    """What a next hop said of an address."""

    KNOWN = "known"
    UNKNOWN = "unknown"
    UNCLEAR = "unclear"


_NAMES: Final = frozenset({550, 551, 553})
_UNKNOWN: Final = frozenset(
    {"5.0.0", "5.1.0", "5.1.1", "5.1.2", "5.1.3", "5.1.4", "5.1.6", "5.1.10", "5.2.0", "5.2.1", "5.4.1"}
)


def meaning_of(sender: Reply | None, recipient: Reply | None) -> Meaning:
    """What the replies to MAIL and to RCPT say about the recipient."""
    if sender is None or sender.code >= 300 or recipient is None:
        return Meaning.UNCLEAR
    if recipient.code in (250, 251):  # 252 is "cannot verify" (RFC 5321 3.5.3)
        return Meaning.KNOWN
    if recipient.code in _NAMES and (not recipient.enhanced or recipient.enhanced in _UNKNOWN):
        return Meaning.UNKNOWN
    return Meaning.UNCLEAR
