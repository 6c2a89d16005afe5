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
from postroad.cli.explainaliases import AliasTrace, trace_aliases, trace_lines
from postroad.cli.explainshaping import Shaped, explain_rules, rule_lines
from postroad.cli.layout import printable
from postroad.cli.options import ConfigFile, Json, configuration
from postroad.cli.queue_suspend import stopped_text
from postroad.cli.waits import Cause, lane_wait, lanes_now
from postroad.config.describe import duration_text
from postroad.config.schema import Config
from postroad.desk.protocol import LaneNow
from postroad.house.courier import bound_to
from postroad.model.address import NULL_PATH, Mailbox, parse_mailbox
from postroad.model.dns import Answer, DnsStatus, Lookup, MxRecord, SrvRecord
from postroad.model.envelope import Envelope, Origin, Recipient
from postroad.model.errors import AddressError
from postroad.model.option import parse_size
from postroad.model.outcome import Decided, Deferred, Delivered, Failed, Held
from postroad.model.route import CAPTURE, FAILOVER, Fallback, Route
from postroad.net.addresses import own_endpoints
from postroad.net.clock import SystemClock
from postroad.net.resolver import Resolver
from postroad.policies.relay_control import RelayControl
from postroad.policy.context import Peer, RcptContext
from postroad.policy.facts import Facts
from postroad.policy.verdict import Accept, Discard, Verdict
from postroad.routing.lanes import fallback_of
from postroad.routing.rewrite import compile_rewriter
from postroad.routing.router import Router
from postroad.routing.rules import compile_rules
from postroad.routing.sites import Sites


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


class Aim(Struct):
    """One target: where it stands among the others, and its share of the mail where the route is balanced by weight."""

    target: str
    tier: int
    weight: int


class Plan(Struct):
    """What the route comes to: `result` is route, deferred, failed, discarded or held; `targets` in order."""

    result: str
    reason: str
    balance: str = ""
    site: str = ""
    source: str = ""
    targets: list[Aim] = []
    dns: list[Question] = []


class Beyond(Struct):
    """Where the recipient goes on when its next hop does not deliver: `after` and `on` in words."""

    lane: str
    after: str
    on: list[str]
    plan: Plan


class Rewriting(Struct):
    """A route replaced the recipient."""

    recipient: str
    rule: str


class Explanation(Struct):
    """Everything `explain` knows about one message."""

    sender: str
    recipient: str
    ip: str
    listener: str
    access: Access
    rewritten: list[Rewriting]
    rule: str
    lane: str
    plan: Plan | None
    fallback: Beyond | None
    aliases: AliasTrace
    rules: Shaped | None = None
    now: LaneNow | None = None  # the running server's view of the lane
    stopped: str = ""


_OWN_NAME: Final = "localhost"


@guarded
def explain(
    recipient: Annotated[str, typer.Option("--to", metavar="ADDRESS", help="Recipient (RCPT TO).")],
    sender: Annotated[str, typer.Option("--from", metavar="ADDRESS", help='Sender (MAIL FROM); "<>" is none.')] = "<>",
    ip: Annotated[str, typer.Option("--ip", metavar="IP", help="Address of the client.")] = "127.0.0.1",
    listener: Annotated[
        str, typer.Option("--listener", metavar="NAME", help="Listener it comes in by; by default the first.")
    ] = "",
    login: Annotated[str, typer.Option("--login", metavar="NAME", help="Login of the client; none without.")] = "",
    size: Annotated[str, typer.Option("--size", metavar="SIZE", help='Size of the content, like "10MiB".')] = "0",
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="TAG", help="Tag of the message; repeat it.")
    ] = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Tell what would happen to a message, and why: access, route, targets, what waits there now. Nothing is sent.

    Example: postroad explain --from me@example.com --to you@example.net --ip 192.0.2.7
    """
    settings = configuration(config)
    envelope = Envelope(
        id="",
        sender=NULL_PATH if sender in ("", "<>") else _mailbox("--from", sender),
        recipients=(Recipient(_recipient(recipient, settings)),),
        arrived=0,
        size=_size(size),
        origin=_origin(settings, ip, listener, login),
        tags=tuple(tag or ()),
    )
    found = asyncio.run(_explain(settings, envelope))
    if found.lane:
        found.now = lanes_now(settings, [found.lane]).lanes.get(found.lane)
    print(msgspec.json.encode(found).decode() if as_json else "\n".join(_lines(found)))
    return OK


def _origin(config: Config, ip: str, listener: str, login: str) -> Origin:
    try:
        ip_address(ip)
    except ValueError:
        raise AddressError(f"not an IP address: {ip}") from None
    if listener and listener not in config.listeners:
        raise AddressError(f"no such listener: {listener}; there are: {', '.join(config.listeners)}")
    return Origin(ip=ip, listener=listener or next(iter(config.listeners)), login=login)


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise AddressError(str(error)) from None


def _mailbox(option: str, text: str) -> Mailbox:
    try:
        return parse_mailbox(text)
    except AddressError as error:
        raise AddressError(f"{option} {text}: {error}") from None


def _recipient(text: str, config: Config) -> Mailbox:
    """The recipient; the bare postmaster is the configured one (RFC 5321 4.5.1)."""
    mailbox = _mailbox("--to", text)
    return mailbox if mailbox.domain else parse_mailbox(config.postmaster)


async def _explain(config: Config, envelope: Envelope) -> Explanation:
    resolver = Resolver(config.resolver, SystemClock())
    lookup = NotingLookup(resolver)
    router = Router(
        compile_rules(config.routes, config.egress),
        lookup,
        own_names=frozenset((config.hostname, _OWN_NAME)),
        own_addresses=own_endpoints(bound_to(config)),
        shuffle=_as_they_are,
        sites=Sites(config.sites),
    )
    given = recipient = envelope.recipients[0]
    aliases = await trace_aliases(config, given.address)
    if aliases.to != [str(given.address)]:  # access is decided about the address as given, the rest about the first
        recipient = Recipient(parse_mailbox(aliases.to[0]))
    rewriter = compile_rewriter(config.routes)
    steps = list(rewriter.steps(recipient, envelope)) if rewriter is not None else []
    if steps:
        recipient = steps[-1].recipient
    placement = router.place(envelope, recipient)
    plan = fallback = rules = None
    try:
        if placement is not None:
            planned = await router.plan(placement.lane)
            plan = _plan(planned, lookup)
            fallback = await _beyond(router, fallback_of(placement.lane), lookup)
            if config.shaping or config.retry:
                told = msgspec.structs.replace(envelope, recipients=(recipient,))
                rules = explain_rules(config, told, placement.lane, planned if isinstance(planned, Route) else None)
    finally:
        resolver.close()
    return Explanation(
        sender=str(envelope.sender),
        recipient=str(given.address),
        ip=envelope.origin.ip,
        listener=envelope.origin.listener,
        access=_access(RelayControl(config.access, parse_mailbox(config.postmaster)), envelope),
        rewritten=[Rewriting(str(step.recipient.address), step.reason) for step in steps],
        rule=placement.reason if placement else "no route matches: the recipient would wait until it expires",
        lane=placement.lane if placement else "",
        plan=plan,
        fallback=fallback,
        aliases=aliases,
        rules=rules,
        stopped=stopped_text(config, placement.lane, plan.site, placement.reason) if placement and plan else "",
    )


async def _beyond(router: Router, fallback: Fallback | None, lookup: "NotingLookup") -> Beyond | None:
    if fallback is None:
        return None
    after = duration_text(fallback.after)
    return Beyond(fallback.lane, after, list(fallback.on), _plan(await router.plan(fallback.lane), lookup))


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
    return ", ".join(map(_record_text, sorted(answer.records, key=_record_order)))


def _record_order(record: str | MxRecord | SrvRecord) -> int:
    match record:
        case MxRecord(preference=number) | SrvRecord(priority=number):
            return number
        case _:
            return 0


def _record_text(record: str | MxRecord | SrvRecord) -> str:
    match record:
        case MxRecord(preference=number, exchange=host):
            return f"{number} {host or '. (null MX)'}"
        case SrvRecord(priority=number, weight=weight, port=port, target=host):
            return f"{number} {weight} {host}:{port}" if host else f"{number} {weight} . (not available)"
        case _:
            return record


def _access(control: RelayControl, envelope: Envelope) -> Access:
    network = control.network_of(envelope.origin.ip)
    if network is not None:
        return Access(True, f"client is in access.relay_networks as {network}")
    recipient = envelope.recipients[0].address
    peer = Peer(envelope.origin.ip, relays=False)
    verdict: Verdict | None = control(RcptContext(peer, envelope.origin, envelope.sender, recipient, 0, Facts()))
    match verdict:
        case None:
            return Access(False, "no policy has an opinion, and the default is to refuse")
        case Accept(reason=reason):
            return Access(True, reason)
        case Discard(reason=reason):
            return Access(True, f"discarded: {reason}")
        case _:
            return Access(False, verdict.reason, str(verdict.reply))


def _plan(result: Route | Decided, lookup: NotingLookup) -> Plan:
    dns, lookup.questions = lookup.questions, []
    match result:
        case Route(targets=targets, reason=reason):
            aims = [
                Aim("captured into a folder" if one.scheme == CAPTURE else str(one), one.tier, one.weight)
                for one in targets
            ]
            return Plan("route", reason, result.balance, result.site, result.source, aims, dns)
        case Deferred(reply=reply):
            return Plan("deferred", str(reply), dns=dns)
        case Failed(reply=reply):
            return Plan("failed", str(reply), dns=dns)
        case Delivered(reply=reply):
            return Plan("discarded", str(reply))
        case Held(reason=reason):
            return Plan("held", reason)


def _lines(found: Explanation) -> list[str]:
    out = [
        f"message   from <{found.sender}> to <{found.recipient}>, client {found.ip}, listener {found.listener}",
        f"access    {'accepted' if found.access.accepted else 'refused'}: {found.access.rule}",
    ]
    if found.access.reply:
        out.append(f"reply     {found.access.reply}")
        out.append("          (if it were accepted:)")
    out += trace_lines(found.aliases)
    out += [f"rewritten to <{step.recipient}> by {step.rule}" for step in found.rewritten]
    out.append(f"route     {found.rule}")
    if found.lane:
        out.append(f"next hop  {found.lane}")
    if found.stopped:
        out.append(f"stopped   {printable(found.stopped)}")
    if found.plan is not None:
        out += _plan_lines(found.plan)
    beyond = found.fallback
    if beyond is not None:
        when = [f"after {beyond.after}"] * (beyond.after != "never") + [f"on {code}" for code in beyond.on]
        out.append(f"fallback  {', '.join(when)}: {beyond.lane}")
        out += _plan_lines(beyond.plan)
    if found.rules is not None:
        out += rule_lines(found.rules)
    if found.now is not None:
        lane, wait = found.now, lane_wait(found.now)
        out.append(f"now       {lane.waiting} wait, {lane.running} of {lane.allowed} deliveries run")
        is_told = wait is None or (wait.cause is Cause.STOPPED and found.stopped)  # above, as without the server
        out += [] if is_told else [f"waits     {wait}"]
    return out


def _plan_lines(plan: Plan) -> list[str]:
    out = [f"dns       {one.kind} {one.name}: {one.answer}" for one in plan.dns]
    out.append(f"plan      {plan.result}: {plan.reason}")
    out += [f"site      {plan.site}"] * bool(plan.site) + [f"source    {plan.source}"] * bool(plan.source)
    balanced = plan.balance not in ("", FAILOVER)
    out += [f"balance   {plan.balance}"] * balanced
    for number, aim in enumerate(plan.targets, 1):
        place = f" (tier {aim.tier + 1}, weight {aim.weight})" if balanced else ""
        out.append(f"target {number:<2} {aim.target}{place}")
    return out
