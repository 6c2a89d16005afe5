"""Whether a message that is only thought of would be taken, and who says so.

Relay control has the last word, unless rules, or reverse-paths of ours that come back, had one before.
"""

from msgspec import Struct

from postroad.model.envelope import Envelope
from postroad.policies.relay_control import RelayControl
from postroad.policy.context import Peer, RcptContext
from postroad.policy.facts import Facts
from postroad.policy.rules.rehearsal import RELAY_CONTROL, Rehearsed
from postroad.policy.verdict import Accept, Discard, Verdict


class Access(Struct):
    """Whether the recipient would be taken, what decided, and the reply when it would not."""

    accepted: bool
    rule: str
    reply: str = ""


def as_ruled(access: Access, ruled: Rehearsed) -> Access:
    """`access`, which is that of relay control, as the rules have it."""
    if ruled.by == RELAY_CONTROL:
        return access
    return Access(ruled.outcome not in ("reject", "defer"), f"rule {ruled.by}", ruled.reply)


def access_of(control: RelayControl, peer: Peer, envelope: Envelope) -> Access:
    """What relay control says of its first recipient."""
    network = control.network_of(envelope.origin.ip)
    if network is not None:
        return Access(True, f"client is in access.relay_networks as {network}")
    recipient = envelope.recipients[0].address
    verdict: Verdict | None = control(RcptContext(peer, envelope.origin, envelope.sender, recipient, 0, Facts()))
    return said(verdict)


def said(verdict: Verdict | None) -> Access:
    """`verdict`, to be told."""
    match verdict:
        case None:
            return Access(False, "no policy has an opinion, and the default is to refuse")
        case Accept(reason=reason):
            return Access(True, reason)
        case Discard(reason=reason):
            return Access(True, f"discarded: {reason}")
        case _:
            return Access(False, verdict.reason, str(verdict.reply))
