"""What is asked about recipients over the network: next hops, by a resolver and a router of their own, and directories.

Whoever takes mail asks, and with several processes that one has no queue and no deliveries to share these with. Where
mail would go is decided as for real mail, rewriting by routes included; a route that sends nothing leaves nobody to
ask.
"""

import secrets
from functools import partial

from postroad.config.checks.directories import directory_password
from postroad.config.egress import egress_of
from postroad.config.schema import Config
from postroad.delivery.probing import Prober
from postroad.house.courier import router_of
from postroad.model.address import NULL_PATH, Mailbox, parse_mailbox
from postroad.model.envelope import Envelope, Recipient
from postroad.model.outcome import Decided, Held
from postroad.model.records import Emit
from postroad.model.route import NextHop, Route
from postroad.net.clock import Clock
from postroad.net.dns.resolver import Resolver
from postroad.net.ldap.directories import make_directory, tell
from postroad.net.ldap.directory import Directory
from postroad.net.stream import open_stream
from postroad.net.tls.client import ClientContexts
from postroad.net.tls.danecheck import TlsaCheck
from postroad.recipients.callahead import CallAhead, Way
from postroad.recipients.directory import DirectoryTable
from postroad.recipients.settings import CallAheadSettings, LdapSettings
from postroad.routing.lanes import LaneSpec, format_lane, parse_next_hop
from postroad.routing.rewrite import compile_rewriter
from postroad.routing.rules import filled


class Asker:
    """Makes tables of next hops."""

    def __init__(self, config: Config, clock: Clock, emit: Emit) -> None:
        """Nothing is opened before the first question; ConfigError when a secret cannot be read."""
        self._config = config
        self._directories: dict[str, Directory] = {}
        self._clock = clock
        self._emit = emit
        self._resolver = Resolver(config.resolver, clock)
        self._router = router_of(config, self._resolver, clock)
        self._rewriter = compile_rewriter(config.routes)
        self._prober = Prober(
            config.delivery,
            hostname=config.hostname,
            clock=clock,
            open_stream=open_stream,
            tls=ClientContexts(ca=config.tls_out.anchors),
            egress=egress_of(config),
            match_tlsa=TlsaCheck(clock),
        )

    def call_ahead(self, settings: CallAheadSettings) -> CallAhead:
        """The next hops of `settings`, or those that mail would go to, as a table."""
        hops = tuple(map(parse_next_hop, settings.next_hops))
        sender = parse_mailbox(settings.sender) if settings.sender else NULL_PATH
        return CallAhead(
            settings,
            plan=partial(self._plan, hops, sender),
            ask=self._prober.ask,
            clock=self._clock,
            emit=self._emit,
            invent=_invent,
        )

    def directory(self, settings: LdapSettings) -> DirectoryTable:
        """The directory of `settings` as a table; ConfigError when its certificates or password cannot be read."""
        name = settings.directory
        opened = self._directories.get(name)
        if opened is None:
            given = self._config.directories[name]
            opened = self._directories[name] = make_directory(given, directory_password(name, given), self._clock)
            tell(opened, name, self._clock, self._emit)
        return DirectoryTable(settings, opened.search, self._clock)

    async def close(self) -> None:
        """Close the connections and the resolver."""
        for directory in self._directories.values():
            await directory.close()
        await self._prober.close()
        self._resolver.close()

    async def _plan(self, hops: tuple[NextHop, ...], sender: Mailbox, address: Mailbox) -> Way | str:
        if hops:
            lane = format_lane(LaneSpec(filled(hops, address.domain)))
        else:
            recipient = Recipient(address)
            envelope = Envelope("", sender, (recipient,), self._clock.now(), 0)
            for step in self._rewriter.steps(recipient, envelope) if self._rewriter is not None else ():
                recipient = step.recipient
            address = recipient.address
            placement = self._router.place(envelope, recipient)
            if placement is None:
                return f"no route matches <{address}>"
            lane = placement.lane
        planned = self._router.cached_plan(lane) or await self._router.plan(lane)
        return Way(planned, address) if isinstance(planned, Route) else _why_not(planned)


def _why_not(decided: Decided) -> str:
    return decided.reason if isinstance(decided, Held) else str(decided.reply)


def _invent() -> str:
    """A local part that nobody has."""
    return f"no-such-name-{secrets.token_hex(8)}"
