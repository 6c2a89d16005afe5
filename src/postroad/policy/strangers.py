"""What checks on strangers have in common: whom they concern, what may follow, and where faults are told (*pure*).

They concern mail of strangers to domains of ours: not that of relay networks, nor of clients that proved who they are,
nor that to the postmaster, who is always reachable (RFC 5321 4.5.1). What nobody relays is refused anyway.
"""

from collections.abc import Callable, Sequence
from typing import Final, Literal, Protocol

from msgspec import Struct

from postroad.model.address import Mailbox
from postroad.model.records import CheckFaulted, Emit
from postroad.model.reply import Reply
from postroad.policy.chain import Policy
from postroad.policy.context import MessageContext, Peer, RcptContext
from postroad.policy.networks import is_within
from postroad.policy.settings import Network
from postroad.policy.verdict import Adjust, Answer, Defer, Reject

Action = Literal["reject", "defer", "tag", "ignore"]
Networks = tuple[Network, ...]
SILENCE: Final = 3_600_000_000  # microseconds in which the same fault is told once
_REMEMBERED: Final = 256  # faults


class MakeStamp(Protocol):
    """Makes what writes down what was found out about strangers' mail (`policies/stamp`)."""

    def __call__(self, hostname: str, *, finds: bool, has_spf: bool) -> Policy[MessageContext]:
        """The policy, for mail that `hostname` takes; `finds`: something is; `has_spf` asks for Received-SPF."""


class Ourselves(Struct, frozen=True):
    """What a policy may know of this server: its name, its addresses, and whether mail to a recipient is ours."""

    hostname: str
    addresses: frozenset[str]
    takes: Callable[[Mailbox], bool]


class Faults:
    """Tells of checks that cannot be made, without telling the same again and again."""

    def __init__(self, emit: Emit, now: Callable[[], int]) -> None:
        """Records go to `emit`; `now` stamps them."""
        self._emit = emit
        self._now = now
        self._told: dict[tuple[str, str], int] = {}

    def tell(self, policy: str, check: str, reason: str) -> None:
        """Tell that the check `check` of `policy` fails because of `reason`."""
        now = self._now()
        if now - self._told.get((check, reason), -SILENCE) < SILENCE:
            return
        self._told.pop((check, reason), None)
        if len(self._told) >= _REMEMBERED:
            del self._told[next(iter(self._told))]
        self._told[check, reason] = now
        self._emit(CheckFaulted(at=now, check=check, reason=reason, policy=policy))


def is_stranger(peer: Peer) -> bool:
    """True for who is in no relay network and has not proved who it is."""
    return not peer.relays and peer.identity is None


def is_concerned(ctx: RcptContext, ourselves: Ourselves, exempt: Networks) -> bool:
    """True for mail of a stranger, outside the networks `exempt`, to a recipient of ours that is not the postmaster."""
    return (
        is_stranger(ctx.peer)
        and not ctx.origin.login
        and ctx.recipient.local.lower() != "postmaster"
        and ourselves.takes(ctx.recipient)
        and not (exempt and is_within(ctx.peer.ip, exempt))
    )


def covers(patterns: tuple[str, ...], domain: str) -> bool:
    """True when `domain` is one of `patterns`, or below one that begins with "*."."""
    return domain in patterns or any(entry.startswith("*.") and domain.endswith(entry[1:]) for entry in patterns)


class Refusal(Struct, frozen=True):
    """What a finding is answered with: for good, or for now."""

    reject: Reply
    defer: Reply


def answer_to(policy: str, finding: str, action: Action, refusal: Refusal, reason: str) -> Answer | None:
    """What `action` makes of a finding."""
    match action:
        case "reject":
            return Reject(refusal.reject, f"{policy}: {reason}")
        case "defer":
            return Defer(refusal.defer, f"{policy}: {reason}")
        case "tag":
            return Adjust(f"{policy}: {reason}", tags=(f"{policy}:{finding}",))
        case _:
            return None


def strongest(answers: Sequence[Answer | None]) -> Answer | None:
    """A rejection before a deferral, and that before tags, which add up."""
    for kind in (Reject, Defer):
        for answer in answers:
            if isinstance(answer, kind):
                return answer
    adjusts = [answer for answer in answers if isinstance(answer, Adjust)]
    if len(adjusts) < 2:
        return adjusts[0] if adjusts else None
    tags = tuple(tag for adjust in adjusts for tag in adjust.tags)
    return Adjust("; ".join(adjust.reason for adjust in adjusts), tags=tags)
