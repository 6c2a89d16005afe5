"""What the rules say of a message, rule by rule, as `postroad explain` tells it.

The message is taken through the same rules that serve; what they would do to it holds for the rest of the explanation.
"""

from datetime import UTC, datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from postroad.cli.layout import printable
from postroad.config.checks.rules import head_of, tls_state
from postroad.config.problem import render
from postroad.config.rulebook import ruling_of
from postroad.config.schema import Config
from postroad.model.address import parse_mailbox
from postroad.model.envelope import Envelope, Recipient
from postroad.model.errors import AddressError, ConfigError
from postroad.model.identity import Identity
from postroad.net.clock import SystemClock
from postroad.policies.relay_control import RelayControl
from postroad.policy.adjusting import with_adjustments
from postroad.policy.context import Peer
from postroad.policy.rules.rehearsal import Case, Rehearsed, Step, rehearse

TLS: Final = ("none", "any", "verified")


class Asked(Struct, frozen=True):
    """What was told of the message beside its envelope, as text."""

    groups: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    at: str = ""
    tls: str = "none"
    findings: tuple[str, ...] = ()


class Judged(Struct):
    """What the rules come to: accept, reject, defer, discard or hold, by which rule, and what is done to it."""

    outcome: str
    by: str
    reply: str
    to: list[str]
    steps: list[Step]
    tags: list[str] = []
    held: str = ""
    route: str = ""
    tls: str = ""
    sender: str = ""


def peer_of(control: RelayControl, envelope: Envelope, asked: Asked) -> Peer:
    """The client that was told of; AddressError for what is no state of TLS or no address."""
    if asked.tls not in TLS:
        raise AddressError(f"--tls {asked.tls}: write one of {', '.join(TLS)}")
    origin = envelope.origin
    identity = None
    if origin.login:
        addresses = tuple(map(parse_mailbox, asked.addresses))
        identity = Identity(origin.login, "explain", "", addresses, frozenset(asked.groups))
    return Peer(origin.ip, control.relays(origin.ip), identity, tls_state(asked.tls))


def judge(config: Config, control: RelayControl, envelope: Envelope, peer: Peer, asked: Asked) -> Rehearsed | None:
    """What comes of `envelope`, None without rules; ConfigError when they cannot be used."""
    ruling = ruling_of(config)
    if ruling.problems:
        raise ConfigError([render(problem, {}) for problem in ruling.problems])
    if ruling.rulebook is None:
        return None
    headers = dict(_header(text) for text in asked.headers)
    recipient = envelope.recipients[0].address
    case = Case(
        peer,
        envelope.origin,
        envelope.sender,
        recipient,
        _instant(asked.at),
        head_of(headers),
        envelope.size,
        frozenset(asked.findings),
    )
    return rehearse(ruling.rulebook, case, control)


def after(envelope: Envelope, found: Rehearsed) -> Envelope:
    """`envelope` as the rules leave it."""
    adjust = found.adjust
    recipients = tuple(Recipient(parse_mailbox(text)) for text in found.to) or envelope.recipients
    tags = tuple(dict.fromkeys((*envelope.tags, *adjust.tags)))
    return replace(with_adjustments(envelope, adjust), recipients=recipients, tags=tags)


def judged(found: Rehearsed) -> Judged:
    """`found`, to be told."""
    adjust, to = found.adjust, list(found.to)
    return Judged(
        found.outcome,
        found.by,
        found.reply,
        to,
        list(found.steps),
        list(adjust.tags),
        adjust.hold,
        adjust.route,
        adjust.tls,
        "" if adjust.sender is None else adjust.sender.text,
    )


def judged_lines(found: Judged, recipient: str) -> list[str]:
    """The rules for people: what each said, and what is done to the message."""
    width = max((len(step.rule) for step in found.steps), default=0)
    out = [f"rule      {step.stage:<7} {step.rule:<{width}}  {step.why or 'matches'}" for step in found.steps]
    out.append(f"rules     {found.outcome}, by {found.by}")
    if found.to and found.to != [recipient]:
        out.append(f"to        {', '.join(found.to)}{'; what follows is about the first' * (len(found.to) > 1)}")
    out += [f"sender    {found.sender}"] * bool(found.sender)
    out += [f"tags      {', '.join(found.tags)}"] * bool(found.tags)
    out += [f"held      {printable(found.held)}"] * bool(found.held)
    out += ["tls       required by a rule"] * bool(found.tls)
    return out


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise AddressError(f'--header {text}: write it like "Subject: hello"')
    return name.strip(), value.strip()


def _instant(text: str) -> int:
    if not text:
        return SystemClock().now()
    try:
        return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000
    except ValueError:
        raise AddressError(f'--at {text}: write it like "2026-03-02 22:30", in UTC') from None
