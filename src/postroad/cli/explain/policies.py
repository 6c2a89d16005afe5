"""What `postroad explain` tells of `[[policies]]`: which are asked about a message, in order, and what some answer.

Asked here are those of ours that look at what DNS says and at nothing else, each for itself. The others are named:
greylisting remembers whom it saw, and policies of the operator's own may do anything.
"""

from collections.abc import Awaitable

from msgspec import Struct

from postroad.config.policies import Prepared, is_own, prepare
from postroad.config.schema import Config
from postroad.house.asked import Asked
from postroad.message.dmarcreport import Tally
from postroad.model.address import parse_mailbox
from postroad.model.envelope import Envelope
from postroad.model.greylisting import Greylist
from postroad.model.identity import Identity
from postroad.model.records import CheckFaulted, Record
from postroad.net.clock import SystemClock
from postroad.policies.relay_control import RelayControl
from postroad.policy.context import Peer, RcptContext
from postroad.policy.facts import Facts
from postroad.policy.verdict import Adjust, Defer, Reject


class Named(Struct):
    """A policy that is asked: as in `[[policies]]`, its stage, what it says of itself; its answer, "" when not asked.

    Stage "" is for one that cannot be used, `text` says why then.
    """

    use: str
    stage: str
    text: str
    answer: str = ""


async def explain_policies(config: Config, envelope: Envelope) -> list[Named]:
    """Those that are asked about `envelope`, in order, then those that cannot be used."""
    if not config.policies:
        return []
    found = prepare(config)
    control = RelayControl(config.access, parse_mailbox(config.postmaster))
    named = []
    for one in found.policies:
        if one.concerns(envelope.origin.listener):
            answer = await _answer(config, one, control, envelope) if _looks_at_dns_alone(one) else ""
            text = one.declaration.text.partition("\n")[0]
            named.append(Named(one.entry.use, one.declaration.stage, text, answer))
    broken = {problem.path[1]: problem.text for problem in found.problems if isinstance(problem.path[1], int)}
    return named + [Named(config.policies[int(at)].use, "", text) for at, text in broken.items()]


def _looks_at_dns_alone(one: Prepared) -> bool:
    return (
        not is_own(one.entry) and one.declaration.stage == "rcpt" and Greylist not in one.declaration.services.values()
    )


async def _answer(config: Config, one: Prepared, control: RelayControl, envelope: Envelope) -> str:
    """What the policy answers, in words, with the faults that it met."""
    origin = envelope.origin
    identity = Identity(origin.login, "explain") if origin.login else None
    peer = Peer(origin.ip, relays=control.relays(origin.ip), identity=identity)
    if one.declaration.name == "helo" and not origin.helo:
        return "not asked: give --helo NAME"
    records: list[Record] = []
    asked = Asked(config, (one,), control, records.append, SystemClock(), Tally(0))
    try:
        (policy,) = asked.of("rcpt", origin.listener)
        recipient = envelope.recipients[0].address
        answer = policy(RcptContext(peer, origin, envelope.sender, recipient, 0, Facts()))
        if isinstance(answer, Awaitable):
            answer = await answer
    finally:
        asked.close()
    faults = [f"{record.check}: {record.reason}" for record in records if isinstance(record, CheckFaulted)]
    return "; ".join((_words(answer), *faults))


def _words(answer: object) -> str:
    match answer:
        case Reject(reply=reply, reason=reason) | Defer(reply=reply, reason=reason):
            return f"{reply} ({reason})"
        case Adjust(tags=tags, reason=reason):
            return f"tag {' '.join(tags)} ({reason})"
        case _:
            return "no opinion"


def policy_lines(policies: list[Named]) -> list[str]:
    """A line for each."""
    lines = []
    for one in policies:
        if not one.stage:
            lines.append(f"policy    {one.use} cannot be used: {one.text}")
        else:
            lines.append(f"policy    {one.use} at {one.stage}: {one.answer or one.text}")
    return lines
