"""What `[srs]`, `[batv]` and `[verp]` do to a message that is only thought of: who it is for, what it leaves as.

The same policy and the same rule decide as in the server, so that what is told is what would be.
"""

from msgspec.structs import replace

from postroad.config.schema import Config
from postroad.house.returns import paths_of, returned_of
from postroad.model.envelope import Envelope, Recipient
from postroad.net.clock import SystemClock
from postroad.policy.context import Peer, RcptContext
from postroad.policy.facts import Facts
from postroad.policy.verdict import Accept, Verdict


def turn_back(config: Config, peer: Peer, envelope: Envelope) -> tuple[Verdict | None, Envelope]:
    """What is said of its recipient, None when it is none of theirs, and the message for whom it stands for."""
    returned = returned_of(config, SystemClock().now)
    if returned is None:
        return None, envelope
    recipient = envelope.recipients[0].address
    verdict = returned(RcptContext(peer, envelope.origin, envelope.sender, recipient, 0, Facts()))
    if isinstance(verdict, Accept) and verdict.adjust is not None:
        envelope = replace(envelope, recipients=tuple(map(Recipient, verdict.adjust.redirect)))
    return verdict, envelope


def leaves_as(config: Config, envelope: Envelope, recipient: Recipient) -> str:
    """The reverse-path that it leaves with; "" when that is its own."""
    paths = paths_of(config, SystemClock().now)
    sender = envelope.sender if paths is None else paths(envelope.sender, [recipient])
    return "" if sender == envelope.sender else sender.text
