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
from postroad.cli.explain.access import Access, access_of, as_ruled, said
from postroad.cli.explain.aliases import AliasTrace, trace_aliases, trace_lines
from postroad.cli.explain.dns import NotingLookup, Question
from postroad.cli.explain.policies import Named, explain_policies, policy_lines
from postroad.cli.explain.returns import leaves_as, turn_back
from postroad.cli.explain.rules import Asked, Judged, after, judge, judged, judged_lines, peer_of
from postroad.cli.explain.shaping import Shaped, explain_rules, rule_lines
from postroad.cli.explain.signing import Signing, explain_signing, signing_lines
from postroad.cli.explain.sts import sts_text
from postroad.cli.explain.tls import asked_of_client, demand_on, wish_of
from postroad.cli.layout import printable
from postroad.cli.options import ConfigFile, Json, configuration
from postroad.cli.queue.suspend import stopped_text
from postroad.cli.queue.waits import Cause, lane_wait, lanes_now
from postroad.config.describe import duration_text
from postroad.config.schema import Config
from postroad.delivery.dialing import with_terms
from postroad.delivery.settings import DeliverySettings
from postroad.desk.protocol import LaneNow
from postroad.house.courier import bound_to, securing_of
from postroad.house.mtasts import Sts, sts_of
from postroad.model.address import NULL_PATH, Mailbox, parse_mailbox
from postroad.model.envelope import Envelope, Origin, Recipient
from postroad.model.errors import AddressError
from postroad.model.option import parse_size
from postroad.model.outcome import Decided, Deferred, Delivered, Failed, Held
from postroad.model.records import Record, ValidationProved, ValidationRefuted
from postroad.model.route import CAPTURE, FAILOVER, Fallback, Route, Target
from postroad.net.addresses import own_endpoints
from postroad.net.clock import SystemClock
from postroad.net.dns.resolver import Resolver
from postroad.policies.relay_control import RelayControl
from postroad.routing.lanes import fallback_of
from postroad.routing.rewrite import compile_rewriter
from postroad.routing.router import Router
from postroad.routing.rules import compile_rules
from postroad.routing.sites import Sites


class Aim(Struct, omit_defaults=True):
    """One target: where it stands among the others, its share of the mail where the route is balanced by weight.

    `tls` is what TLS it must have, `tls_by` who says so, and why.
    """

    target: str
    tier: int
    weight: int
    tls: str = ""
    tls_by: str = ""


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
    policies: list[Named] = []
    rules: Shaped | None = None
    mta_sts: str = ""  # what is known of the policy of the domain that mail goes to, with [tls_out] mta_sts
    now: LaneNow | None = None  # the running server's view of the lane
    plain: list[str] = []  # targets with which TLS failed a while ago
    stopped: str = ""
    judged: Judged | None = None
    dnssec: str = ""  # whether the resolver validates, where it matters
    leaves_as: str = ""  # the reverse-path, where it changes
    asked_of_client: str = ""  # TLS that the listener asks for, and the client has not
    dkim: Signing | None = None  # which keys sign it


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
    helo: Annotated[
        str, typer.Option("--helo", metavar="NAME", help="What the client calls itself; for policies.")
    ] = "",
    size: Annotated[str, typer.Option("--size", metavar="SIZE", help='Size of the content, like "10MiB".')] = "0",
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="TAG", help="Tag of the message; repeat it.")
    ] = None,
    group: Annotated[
        list[str] | None, typer.Option("--group", metavar="NAME", help="Group the login is in; repeat it.")
    ] = None,
    own: Annotated[
        list[str] | None, typer.Option("--own", metavar="ADDRESS", help="Address the login may send as; repeat it.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", metavar="FIELD", help='Header field "Name: value"; repeat it.')
    ] = None,
    at: Annotated[str, typer.Option("--at", metavar="TIME", help='When, "2026-03-02 22:30" in UTC; else now.')] = "",
    tls: Annotated[str, typer.Option("--tls", metavar="STATE", help="How it comes: none, any or verified.")] = "none",
    requiretls: Annotated[
        bool, typer.Option("--requiretls", help="The client asks for REQUIRETLS; --header has TLS-Required: No.")
    ] = False,
    finding: Annotated[
        list[str] | None, typer.Option("--finding", metavar="WORD", help='As policies find: "ptr:missing"; repeat it.')
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
        origin=msgspec.structs.replace(_origin(settings, ip, listener, login), helo=helo),
        tags=tuple(tag or ()),
        tls=wish_of(header or (), requiretls=requiretls),
    )
    asked = Asked(tuple(group or ()), tuple(own or ()), tuple(header or ()), at, tls, tuple(finding or ()))
    found = asyncio.run(_explain(settings, envelope, asked))
    if found.lane:
        lanes = [found.lane, *([found.fallback.lane] if found.fallback is not None else ())]
        live = lanes_now(settings, lanes, plain=True).lanes
        found.now = live.get(found.lane)
        found.plain = [target for lane in lanes if lane in live for target in live[lane].plain]
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


async def _explain(config: Config, envelope: Envelope, asked: Asked) -> Explanation:
    control = RelayControl(config.access, parse_mailbox(config.postmaster))
    given, peer = envelope.recipients[0], peer_of(control, envelope, asked)
    verdict, envelope = turn_back(config, peer, envelope)
    access = access_of(control, peer, envelope) if verdict is None else said(verdict)
    ruled = judge(config, control, envelope, peer, asked)
    if ruled is not None:
        access, envelope = as_ruled(access, ruled), after(envelope, ruled)
    resolver = Resolver(config.resolver, SystemClock())
    lookup = NotingLookup(resolver)
    noted: list[Record] = []
    sts = sts_of(config, lookup, SystemClock(), _unheard, reads_only=True)
    router = _router(config, lookup, noted, sts)
    recipient = envelope.recipients[0]
    aliases = await trace_aliases(config, recipient.address)
    if aliases.to != [str(recipient.address)]:  # access is decided about the address as given, the rest about the first
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
            plan = _plan(config, planned, lookup)
            fallback = await _beyond(config, router, fallback_of(placement.lane), lookup)
            if config.shaping or config.retry:
                told = msgspec.structs.replace(envelope, recipients=(recipient,))
                rules = explain_rules(config, told, placement.lane, planned if isinstance(planned, Route) else None)
    finally:
        policy = await sts_text(sts, placement.lane if placement else "", SystemClock().now())
        resolver.close()
    return Explanation(
        sender=str(envelope.sender),
        recipient=str(given.address),
        ip=envelope.origin.ip,
        listener=envelope.origin.listener,
        access=access,
        judged=judged(ruled) if ruled is not None else None,
        rewritten=[Rewriting(str(step.recipient.address), step.reason) for step in steps],
        rule=placement.reason if placement else "no route matches: the recipient would wait until it expires",
        lane=placement.lane if placement else "",
        plan=plan,
        fallback=fallback,
        aliases=aliases,
        rules=rules,
        policies=await explain_policies(config, envelope),
        mta_sts=policy,
        leaves_as=leaves_as(config, envelope, recipient),
        asked_of_client=asked_of_client(config, envelope.origin.listener, asked.tls),
        dkim=explain_signing(config, peer, envelope, asked.headers),
        dnssec="; ".join(one.reason for one in noted if isinstance(one, ValidationProved | ValidationRefuted)),
        stopped=stopped_text(config, placement.lane, plan.site, placement.reason) if placement and plan else "",
    )


def _router(config: Config, lookup: NotingLookup, noted: list[Record], sts: Sts | None) -> Router:
    return Router(
        compile_rules(config.routes, config.egress),
        lookup,
        own_names=frozenset((config.hostname, _OWN_NAME)),
        own_addresses=own_endpoints(bound_to(config)),
        shuffle=_as_they_are,
        sites=Sites(config.sites),
        securing=securing_of(config, lookup, SystemClock(), noted.append, sts),
    )


async def _beyond(config: Config, router: Router, fallback: Fallback | None, lookup: "NotingLookup") -> Beyond | None:
    if fallback is None:
        return None
    after = duration_text(fallback.after)
    return Beyond(fallback.lane, after, list(fallback.on), _plan(config, await router.plan(fallback.lane), lookup))


def _unheard(_: object) -> None:
    """What goes wrong with the file of policies is the server's to tell."""


def _as_they_are(hosts: list[str]) -> None:
    """No shuffling: the order is told, so it should be the same each time."""


def _plan(config: Config, result: Route | Decided, lookup: NotingLookup) -> Plan:
    dns, lookup.questions = lookup.questions, []
    match result:
        case Route(targets=targets, reason=reason):
            settings = with_terms(config.delivery, result.terms)
            aims = [_aim(settings, target) for target in targets]
            return Plan("route", reason, result.balance, result.site, result.source, aims, dns)
        case Deferred(reply=reply):
            return Plan("deferred", str(reply), dns=dns)
        case Failed(reply=reply):
            return Plan("failed", str(reply), dns=dns)
        case Delivered(reply=reply):
            return Plan("discarded", str(reply))
        case Held(reason=reason):
            return Plan("held", reason)


def _aim(settings: DeliverySettings, target: Target) -> Aim:
    text = "captured into a folder" if target.scheme == CAPTURE else str(target)
    return Aim(text, target.tier, target.weight, *demand_on(settings, target))


def _lines(found: Explanation) -> list[str]:
    out = [
        f"message   from <{found.sender}> to <{found.recipient}>, client {found.ip}, listener {found.listener}",
        *(f"tls       {found.asked_of_client}" for _ in range(bool(found.asked_of_client))),
        *(judged_lines(found.judged, found.recipient) if found.judged is not None else ()),
        f"access    {'accepted' if found.access.accepted else 'refused'}: {found.access.rule}",
    ]
    if found.access.reply:
        out.append(f"reply     {found.access.reply}")
        out.append("          (if it were accepted:)")
    out += policy_lines(found.policies)
    out += trace_lines(found.aliases)
    out += [f"rewritten to <{step.recipient}> by {step.rule}" for step in found.rewritten]
    out += signing_lines(found.dkim)
    out.append(f"route     {found.rule}")
    out += [f"leaves as <{found.leaves_as}>"] * bool(found.leaves_as)
    if found.lane:
        out.append(f"next hop  {found.lane}")
    if found.stopped:
        out.append(f"stopped   {printable(found.stopped)}")
    if found.dnssec:
        out.append(f"dnssec    {printable(found.dnssec)}")
    out += [f"mta-sts   {printable(found.mta_sts)}"] * bool(found.mta_sts)
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
        if lane.allowed:
            out.append(f"now       {lane.waiting} wait, {lane.running} of {lane.allowed} deliveries run")
        is_told = wait is None or (wait.cause is Cause.STOPPED and found.stopped)  # above, as without the server
        out += [] if is_told else [f"waits     {wait}"]
    out += [f"plain     {target} gets plain text for a while: TLS with it failed" for target in found.plain]
    return out


def _plan_lines(plan: Plan) -> list[str]:
    out = [f"dns       {one.kind} {one.name}: {one.answer}" for one in plan.dns]
    out.append(f"plan      {plan.result}: {plan.reason}")
    out += [f"site      {plan.site}"] * bool(plan.site) + [f"source    {plan.source}"] * bool(plan.source)
    balanced = plan.balance not in ("", FAILOVER)
    out += [f"balance   {plan.balance}"] * balanced
    for number, aim in enumerate(plan.targets, 1):
        place = f" (tier {aim.tier + 1}, weight {aim.weight})" if balanced else ""
        tls = f"; TLS {aim.tls}, by {aim.tls_by}" if aim.tls else ""
        out.append(f"target {number:<2} {aim.target}{place}{tls}")
    return out
