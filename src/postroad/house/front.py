"""What sessions are welcomed by, from one configuration: access, policies, limits, aliases, the way into the spool.

A session keeps the front that it began with until it ends, so a message is judged by one configuration from MAIL to
its 250. What it knows (`house.known`) is taken over by the next front where the options are the same; else it is closed
when the last session that used it is gone.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import Struct

from postroad.config.schema import Config
from postroad.house.asked import Asked
from postroad.house.counting.counters import Counting, NodeCounts
from postroad.house.guard.guard import Admit
from postroad.house.guard.lookout import Eyes, shield_of
from postroad.house.known import Known
from postroad.house.policing import Limits, Policing
from postroad.house.reports.taken import reports_of
from postroad.house.returns import returned_of
from postroad.house.ruling import rules_as_policies
from postroad.house.securing import tls_of
from postroad.listener.drops import LISTENER as DROPS
from postroad.listener.drops import Parts
from postroad.listener.intake import Intake, Rewrite, Spooling
from postroad.listener.server import Listeners, Welcome
from postroad.message.dmarcreport import Tally
from postroad.model.address import parse_mailbox
from postroad.model.counts import Crowd
from postroad.model.queueid import QueueIds
from postroad.model.records import Emit
from postroad.net.clock import Clock
from postroad.policies.relay_control import RelayControl
from postroad.policy.rates.choice import Choice
from postroad.queue.announce import Announcer, Putting
from postroad.store.drops import DropFolder

LOOK_SECONDS: Final = 1.0


class Way(Struct, frozen=True):
    """How accepted mail goes on, the same for every front of the process.

    `eyes` see who is banned, held or locked; `admitting` lets the watch over accounts hear of mail where it is
    admitted. `tally` counts what reports about DMARC tell; `own` is the spool for mail that we make.
    """

    spool: Spooling
    admit: Admit
    queue_ids: QueueIds
    emit: Emit
    clock: Clock
    counting: Counting
    crowd: Crowd
    tally: Tally
    eyes: Eyes | None = None
    admitting: Callable[[Admit], Admit] | None = None
    own: Putting | None = None


class Front(Struct, frozen=True):
    """The parts of one configuration."""

    config: Config
    known: Known
    welcome: Welcome
    announcer: Announcer
    asked: Asked
    choices: tuple[Choice, ...]
    counts: NodeCounts


def front_of(config: Config, known: Known, rewrite: Rewrite | None, way: Way) -> Front:
    """The front that `config` describes."""
    postmaster = parse_mailbox(config.postmaster)
    control = RelayControl(config.access, postmaster)
    tables = known.tables
    door = tables.aliases.door
    asked = Asked(config, known.policies, control, way.emit, way.clock, way.tally)
    rules = rules_as_policies(known.ruling, way.emit, way.clock)
    counts = way.counting.counts_of(config)
    choices = tuple(map(Choice, config.rates))
    limits = Limits(choices, counts, way.crowd)
    shield = shield_of(config, way.eyes)
    returned = returned_of(config, way.clock.now)
    policing = Policing(
        control,
        tables.knows,
        asked,
        rules,
        way.emit,
        way.clock,
        returned=returned,
        reports=reports_of(config, way.clock.now),
        limits=limits,
        shield=shield,
    )
    admit = way.admit if config.breaker is None or way.admitting is None else way.admitting(way.admit)
    announcer = Announcer(
        spool=way.own or way.spool, admit=way.admit, emit=way.emit, hostname=config.hostname, queue_ids=way.queue_ids
    )
    intake = Intake(
        spool=way.spool,
        admit=admit,
        emit=way.emit,
        now=way.clock.now,
        hostname=config.hostname,
        queue_ids=way.queue_ids,
        limits=config.limits,
        inline=config.spool.inline_size,
        rewrite=rewrite,
        sign=None if known.signatures is None else known.signatures.accepted,
        expand=None if door is None else door.expand,
        announce=announcer.expanded,
    )
    welcome = Welcome(
        hostname=config.hostname,
        postmaster=postmaster,
        limits=config.limits,
        stages_of=policing.stages_of,
        relays=control.relays,
        intake=intake,
        tarpit=shield.tarpit,
        is_locked=shield.is_locked,
        logins=known.auth.logins,
        tls=tls_of(config, known.certificates, way.clock),
        watch=policing.watch,
    )
    return Front(config, known, welcome, announcer, asked, choices, counts)


def drops_of(front: Front, way: Way, folder: DropFolder, knows: Callable[[str], Awaitable[object]]) -> Parts:
    """How drops in `folder` are taken in; `knows` tells whether the spool has a queue id."""
    config, welcome = front.config, front.welcome
    return Parts(
        folder=folder,
        clock=way.clock,
        emit=way.emit,
        stages=welcome.stages_of(DROPS),
        intake=welcome.intake,
        limits=config.limits,
        queue_ids=way.queue_ids,
        postmaster=welcome.postmaster,
        hostname=config.hostname,
        knows=knows,
        refuse=front.announcer.refused,
    )


async def retire(old: Front, listeners: Listeners, clock: Clock) -> None:
    """Return when no session of `old` is left."""
    while listeners.has_guests_of(old.welcome.intake):
        await clock.sleep(LOOK_SECONDS)
