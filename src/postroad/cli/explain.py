"""`postroad explain`: what would happen to a message, and why, without sending anything.

The same parts that serve decide here: the relay control policy, the rules of the routes and the
router. DNS is really asked, and every question is told with its answer.
"""

import asyncio
from ipaddress import ip_address
from typing import Annotated, Final

import msgspec
import typer
from msgspec import Struct

from postroad.cli.exits import OK, guarded
from postroad.cli.explainshaping import Shaped, explain_rules, rule_lines
from postroad.cli.options import ConfigFile, Json, configuration
from postroad.config.schema import Config
from postroad.model.address import NULL_PATH, Mailbox, parse_mailbox
from postroad.model.dns import Answer, DnsStatus, Lookup, MxRecord
from postroad.model.envelope import Envelope, Origin, Recipient
from postroad.model.errors import AddressError
from postroad.model.outcome import Deferred, Failed
from postroad.model.route import CAPTURE, Route
from postroad.net.clock import SystemClock
from postroad.net.resolver import Resolver
from postroad.policies.relay_control import RelayControl
from postroad.policy.context import Peer, RcptContext
from postroad.policy.verdict import Accept, Verdict
from postroad.routing.router import Router
from postroad.routing.rules import compile_rules


class Access(Struct):
    """Whether the recipient would be taken, what decided, and the reply when it would not."""

    accepted: bool
    rule: str
    reply: str = ""


class Question(Struct):
    """One question to DNS and what came back, in words."""

    name: str
    kind: str
    answer: str


class Plan(Struct):
    """What the route comes to: `result` is route, deferred or failed; `targets` in the order they would be tried."""

    result: str
    reason: str
    targets: list[str] = []
    dns: list[Question] = []


class Explanation(Struct):
    """Everything `explain` knows about one message."""

    sender: str
    recipient: str
    ip: str
    listener: str
    access: Access
    rule: str
    lane: str
    plan: Plan | None
    rules: Shaped | None = None


_OWN_NAME: Final = "localhost"


@guarded
def explain(
    recipient: Annotated[str, typer.Option("--to", metavar="ADDRESS", help="Recipient (RCPT TO).")],
    sender: Annotated[str, typer.Option("--from", metavar="ADDRESS", help='Sender (MAIL FROM); "<>" is none.')] = "<>",
    ip: Annotated[str, typer.Option("--ip", metavar="IP", help="Address of the client.")] = "127.0.0.1",
    listener: Annotated[
        str, typer.Option("--listener", metavar="NAME", help="Listener it comes in by; by default the first.")
    ] = "",
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Tell what would happen to a message, and why: access, route, targets. Nothing is sent.

    Example: postroad explain --from me@example.com --to you@example.net --ip 192.0.2.7
    """
    settings = configuration(config)
    try:
        ip_address(ip)
    except ValueError:
        raise AddressError(f"not an IP address: {ip}") from None
    if listener and listener not in settings.listeners:
        raise AddressError(f"no such listener: {listener}; there are: {', '.join(settings.listeners)}")
    origin = Origin(ip=ip, listener=listener or next(iter(settings.listeners)))
    envelope = Envelope(
        id="",
        sender=NULL_PATH if sender in ("", "<>") else parse_mailbox(sender),
        recipients=(Recipient(_recipient(recipient, settings)),),
        arrived=0,
        size=0,
        origin=origin,
    )
    found = asyncio.run(_explain(settings, envelope))
    print(msgspec.json.encode(found).decode() if as_json else "\n".join(_lines(found)))
    return OK


def _recipient(text: str, config: Config) -> Mailbox:
    """The recipient; the bare postmaster is the configured one (RFC 5321 4.5.1)."""
    mailbox = parse_mailbox(text)
    return mailbox if mailbox.domain else parse_mailbox(config.postmaster)


async def _explain(config: Config, envelope: Envelope) -> Explanation:
    resolver = Resolver(config.resolver, SystemClock())
    lookup = NotingLookup(resolver)
    router = Router(
        compile_rules(config.routes),
        lookup,
        own_names=frozenset((config.hostname, _OWN_NAME)),
        own_addresses=frozenset(),
        shuffle=_as_they_are,
    )
    recipient = envelope.recipients[0]
    placement = router.place(envelope, recipient)
    try:
        planned = await router.plan(placement.lane) if placement else None
        plan = _plan(planned, lookup.questions) if planned is not None else None
    finally:
        resolver.close()
    return Explanation(
        sender=str(envelope.sender),
        recipient=str(recipient.address),
        ip=envelope.origin.ip,
        listener=envelope.origin.listener,
        access=_access(RelayControl(config.access), envelope),
        rule=placement.reason if placement else "no route matches: the recipient would wait until it expires",
        lane=placement.lane if placement else "",
        plan=plan,
        rules=explain_rules(config, envelope, placement.lane, planned if isinstance(planned, Route) else None)
        if placement and (config.shaping or config.retry)
        else None,
    )


def _as_they_are(hosts: list[str]) -> None:
    """No shuffling: the order is told, so it should be the same each time."""


class NotingLookup:
    """A look-up that remembers what was asked."""

    def __init__(self, lookup: Lookup) -> None:
        """Ask `lookup`."""
        self._lookup = lookup
        self.questions: list[Question] = []

    async def __call__(self, name: str, kind: str) -> Answer:
        """The answer, noted."""
        answer = await self._lookup(name, kind)
        self.questions.append(Question(name, kind, answer_text(answer)))
        return answer


def answer_text(answer: Answer) -> str:
    """An answer in words: "10 mx1.example.com, 20 mx2.example.com", "192.0.2.1", "NXDOMAIN"."""
    if answer.status is not DnsStatus.FOUND:
        return str(answer.status.value)
    records = sorted(answer.records, key=lambda record: record.preference if isinstance(record, MxRecord) else 0)
    return ", ".join(
        f"{record.preference} {record.exchange or '. (null MX)'}" if isinstance(record, MxRecord) else record
        for record in records
    )


def _access(control: RelayControl, envelope: Envelope) -> Access:
    network = control.network_of(envelope.origin.ip)
    if network is not None:
        return Access(True, f"client is in access.relay_networks as {network}")
    recipient = envelope.recipients[0].address
    peer = Peer(envelope.origin.ip, relays=False)
    verdict: Verdict | None = control(RcptContext(peer, envelope.origin, envelope.sender, recipient, 0))
    match verdict:
        case None:
            return Access(False, "no policy has an opinion, and the default is to refuse")
        case Accept(reason=reason):
            return Access(True, reason)
        case _:
            return Access(False, verdict.reason, str(verdict.reply))


def _plan(result: Route | Deferred | Failed, questions: list[Question]) -> Plan:
    match result:
        case Route(targets=targets, reason=reason):
            return Plan(
                "route",
                reason,
                ["captured into a folder" if target.scheme == CAPTURE else str(target) for target in targets],
                questions,
            )
        case Deferred(reply=reply):
            return Plan("deferred", str(reply), [], questions)
        case Failed(reply=reply):
            return Plan("failed", str(reply), [], questions)


def _lines(found: Explanation) -> list[str]:
    out = [
        f"message   from <{found.sender}> to <{found.recipient}>, client {found.ip}, listener {found.listener}",
        f"access    {'accepted' if found.access.accepted else 'refused'}: {found.access.rule}",
    ]
    if found.access.reply:
        out.append(f"reply     {found.access.reply}")
        out.append("          (if it were accepted:)")
    out.append(f"route     {found.rule}")
    if found.lane:
        out.append(f"next hop  {found.lane}")
    if found.plan is not None:
        out += [f"dns       {one.kind} {one.name}: {one.answer}" for one in found.plan.dns]
        out.append(f"plan      {found.plan.result}: {found.plan.reason}")
        out += [f"target {number:<2} {target}" for number, target in enumerate(found.plan.targets, 1)]
    if found.rules is not None:
        out += rule_lines(found.rules)
    return out
