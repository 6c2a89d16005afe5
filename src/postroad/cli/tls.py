"""`postroad tls`: what TLS the next hops of a domain have, and what is asked of them.

The way is looked up as for mail, and each host is connected to as for mail; none is sent. RFC 3207 4.1, RFC 7435 3.
"""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec
import typer
from msgspec import Struct

from postroad.cli.exits import NO_HOST, OK, UNAVAILABLE, guarded
from postroad.cli.explain.dns import NotingLookup, Question
from postroad.cli.layout import printable
from postroad.cli.options import ConfigFile, Json, configuration
from postroad.cli.tlsreports import reports
from postroad.config.egress import egress_of
from postroad.config.schema import Config
from postroad.delivery.dialing import Dialings
from postroad.delivery.inspecting import Inspection, Shown, inspect
from postroad.house.courier import router_of
from postroad.house.mtasts import sts_of
from postroad.model.address import NULL_PATH, parse_mailbox
from postroad.model.envelope import Envelope, Recipient
from postroad.model.errors import AddressError
from postroad.model.outcome import Held
from postroad.model.route import CAPTURE, Route
from postroad.net.clock import SystemClock
from postroad.net.dns.resolver import Resolver
from postroad.net.proxy import Proxy
from postroad.net.stream import Stream, open_stream
from postroad.net.tls.client import ClientContexts
from postroad.net.tls.danecheck import TlsaCheck
from postroad.routing.lanes import lane_named
from postroad.routing.router import Router

MOST: Final = 20  # targets


class Streams:
    """The connections that were opened, to see each of them gone before the program is."""

    def __init__(self) -> None:
        """None yet."""
        self._opened: list[Stream] = []

    async def open(
        self, address: str, port: int, *, source: str = "", proxy: Proxy | None = None, timeout: float
    ) -> Stream:
        """As `net.stream.open_stream`."""
        stream = await open_stream(address, port, source=source, proxy=proxy, timeout=timeout)
        self._opened.append(stream)
        return stream

    async def close(self) -> None:
        """Wait until all are closed, seconds at most."""
        for stream in self._opened:
            stream.close()
            await stream.wait_closed()
        for _ in range(3):  # below TLS that failed the event loop has a transport of its own to close
            await SystemClock().sleep(0)


class Probe(Struct):
    """All that was found; without `targets` the `reason` says why there are none."""

    asked: str
    lane: str
    reason: str
    dns: list[Question]
    targets: list[Inspection]


def build() -> typer.Typer:
    """The commands of `postroad tls`."""
    group = typer.Typer(help="TLS with next hops.", no_args_is_help=True, rich_markup_mode=None)
    group.callback()(_group)
    group.command("probe")(probe)
    group.command("reports")(reports)
    return group


def _group() -> None:
    """TLS with next hops.

    Example: postroad tls probe example.com
    """


@guarded
def probe(
    destination: Annotated[
        str, typer.Argument(metavar="DOMAIN", help='A domain, or next hops as in routes: "smtp://host:25".')
    ],
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", help="Wait so long for each answer.")
    ] = 30.0,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Tell which TLS each host of a domain must have, and has: version, cipher, chain, verification. Sends no mail.

    Exit code 69 when a host does not have what is demanded, 68 when there is no host.

    Example: postroad tls probe example.com
    """
    found = asyncio.run(_probe(configuration(config), destination, max(1.0, timeout)))
    print(msgspec.json.encode(found).decode() if as_json else "\n".join(_lines(found)))
    if not found.targets:
        return NO_HOST
    return OK if all(one.is_met for one in found.targets) else UNAVAILABLE


def _unheard(_: object) -> None:
    """What goes wrong with the file of policies is the server's to tell."""


async def _probe(config: Config, destination: str, timeout: float) -> Probe:
    clock = SystemClock()
    resolver = Resolver(config.resolver, clock)
    lookup = NotingLookup(resolver)
    sts = sts_of(config, lookup, clock, _unheard, reads_only=True)
    try:
        router = router_of(config, lookup, clock, sts=sts)
        lane = _lane(router, destination)
        planned = await router.plan(lane)
    finally:
        if sts is not None:
            await sts.close()
        resolver.close()
    if not isinstance(planned, Route):
        reason = planned.reason if isinstance(planned, Held) else str(planned.reply)
        return Probe(destination, lane, reason, lookup.questions, [])
    sources = egress_of(config).order(planned.source, clock.monotonic()) if planned.source else []
    limits = ("connect_timeout", "greeting_timeout", "command_timeout")
    streams = Streams()
    dialings = Dialings(
        config.delivery.model_copy(update=dict.fromkeys(limits, timeout)),
        hostname=config.hostname,
        open_stream=streams.open,
        tls=ClientContexts(ca=config.tls_out.anchors),
        monotonic=clock.monotonic,
        match_tlsa=TlsaCheck(clock),
    )
    dialing = dialings.of(sources[0] if sources else None, planned.terms)
    targets = [target for target in planned.targets if target.scheme != CAPTURE][:MOST]
    found = [await inspect(target, dialing) for target in targets]
    await streams.close()
    return Probe(destination, lane, planned.reason, lookup.questions, found)


def _lane(router: Router, destination: str) -> str:
    if ":" in destination:
        try:
            return lane_named(destination)
        except ValueError as error:
            raise AddressError(f"{destination}: {error}") from None
    destination = destination.rpartition("@")[2]  # of an address, who takes its mail
    recipient = Recipient(parse_mailbox(f"postmaster@{destination}"))
    placement = router.place(Envelope("", NULL_PATH, (recipient,), 0, 0), recipient)
    if placement is None:
        raise AddressError(f"no route matches postmaster@{destination}")
    return placement.lane


def _lines(found: Probe) -> list[str]:
    out = [f"next hop  {found.lane}"]
    out += [f"dns       {one.kind} {one.name}: {one.answer}" for one in found.dns]
    out.append(f"plan      {printable(found.reason)}")
    for one in found.targets:
        out += ["", f"target    {one.target}", f"demand    {one.level}, by {one.source}: {one.reason}"]
        out += [f"tls       {one.tls}"] * bool(one.tls)
        out += [_chain_line(number, shown) for number, shown in enumerate(one.chain)]
        out += [f"verified  {printable(one.verification)}"] * bool(one.verification)
        out += ["offers    REQUIRETLS"] * one.requiretls
        out.append(f"result    {'mail goes there' if one.is_met else 'no mail goes there'}{_why(one)}")
        out += [f"mend      {one.mend}"] * bool(one.mend)
    return out


def _why(one: Inspection) -> str:
    return f": {printable(one.words)}" if one.words else ""


def _chain_line(number: int, shown: Shown) -> str:
    expires = datetime.fromtimestamp(shown.expires / 1_000_000, UTC).strftime("%Y-%m-%d")
    names = f" for {', '.join(shown.names[:5])}" if number == 0 and shown.names else ""
    return printable(
        f"shows {number:<3} {shown.subject}{names}, until {expires}, SHA-256 {shown.fingerprint}, its key {shown.key}"
    )
