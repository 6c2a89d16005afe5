"""What several policies want done to one message, added up (*pure*).

Tags add up, whatever asks for TLS is heeded, and where only one can be heeded (why it is held, the route it takes, who
sends it) the first policy that said so is.
"""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from postroad.model.envelope import Envelope, Recipient
from postroad.model.policyrecords import MessageAdjusted
from postroad.model.route import TLS_REQUIRETLS
from postroad.policy.verdict import Adjust


def total(adjustments: Sequence[Adjust]) -> Adjust:
    """All of `adjustments` as one; `redirect` and `add` are those of stage message, in order and once each."""
    return Adjust(
        reason="; ".join(dict.fromkeys(one.reason for one in adjustments if one.reason)),
        tags=tuple(dict.fromkeys(tag for one in adjustments for tag in one.tags)),
        hold=next((one.hold for one in adjustments if one.hold), ""),
        route=next((one.route for one in adjustments if one.route), ""),
        tls=next((one.tls for one in adjustments if one.tls), ""),
        headers=tuple(header for one in adjustments for header in one.headers),
        cuts=joined(cut for one in adjustments for cut in one.cuts),
        sender=next((one.sender for one in adjustments if one.sender is not None), None),
        redirect=next((one.redirect for one in adjustments if one.redirect), ()),
        add=tuple(dict.fromkeys(mailbox for one in adjustments for mailbox in one.add)),
    )


def joined(cuts: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """`cuts` in order, those that meet made one."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(cuts):
        if found and first <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], last)
        elif 0 <= first < last:
            found.append((first, last))
    return tuple(found)


def recipients_after(recipients: Sequence[Recipient], adjust: Adjust) -> list[Recipient]:
    """Who gets the message: instead of `recipients` those it is redirected to, and those that are added; each once."""
    found = list(recipients)
    if adjust.redirect:
        found = [Recipient(mailbox, recipients[0].notify) for mailbox in adjust.redirect]
    there = {one.address for one in found}
    found += [Recipient(mailbox) for mailbox in adjust.add if mailbox not in there]
    return found


def with_adjustments(envelope: Envelope, adjust: Adjust) -> Envelope:
    """`envelope` as `adjust` has it; its recipients are another matter."""
    sender = envelope.sender
    if adjust.sender is not None and not sender.is_null:
        sender = adjust.sender
    tls = envelope.tls if envelope.tls == TLS_REQUIRETLS else adjust.tls or envelope.tls
    size = envelope.size
    return replace(
        envelope,
        sender=sender,
        tags=adjust.tags,
        held=adjust.hold,
        route=adjust.route,
        tls=tls,
        prefix="".join(map(field_of, adjust.headers)) + envelope.prefix,
        cuts=tuple((first, min(last, size)) for first, last in adjust.cuts if first < size),
    )


def field_of(header: str) -> str:
    """A header field with its CRLFs, whatever line ends it came with: a line of it can never be a field of its own."""
    first, *others = header.splitlines() or [""]
    lines = [line if line[:1] in (" ", "\t") else f"\t{line}" for line in others if line.strip()]
    return "\r\n".join([first, *lines]) + "\r\n" if first.strip() else ""


def adjusted(envelope: Envelope, adjust: Adjust) -> MessageAdjusted:
    """The record of what `adjust` did to the message of `envelope`."""
    return MessageAdjusted(
        at=envelope.arrived,
        id=envelope.id,
        reason=adjust.reason,
        tags=adjust.tags,
        held=adjust.hold,
        route=adjust.route,
        tls=adjust.tls,
        sender="" if adjust.sender is None or envelope.sender.is_null else adjust.sender.text,
        redirected=tuple(mailbox.text for mailbox in adjust.redirect),
        added=tuple(mailbox.text for mailbox in adjust.add),
    )
