"""A receiving side without sockets or disk: real session, policies and intake over a transport in memory.

`InstantSpool` keeps what was put; `converse` feeds octets in any split and returns what was answered.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from postroad.auth.logins import Logins
from postroad.listener.consult import EXPAND_SECONDS, Expand
from postroad.listener.intake import Intake
from postroad.listener.server import Listeners, Welcome
from postroad.listener.session import Conversation
from postroad.listener.settings import LimitsSettings, ListenerSettings
from postroad.listener.tarpit import Tarpit
from postroad.listener.terms import Guest, Terms
from postroad.model.address import parse_mailbox
from postroad.model.envelope import Envelope, Recipient
from postroad.model.errors import SpoolError
from postroad.model.queueid import QueueIds
from postroad.model.records import Record
from postroad.model.reply import Reply
from postroad.model.work import Place, Stored, Work
from postroad.net.process.inherited import Inherited
from postroad.net.stream import AtTurnEnd
from postroad.policies.relay_control import RelayControl
from postroad.policy.chain import Chain, Policy
from postroad.policy.context import RcptContext
from postroad.policy.networks import membership
from postroad.policy.settings import AccessSettings
from postroad.policy.shield.conduct import Conduct
from postroad.policy.stages import Stages
from postroad.smtp import replies
from postroad.smtp.extensions import Offer
from postroad.spool.draft import Draft

NOW = 1_790_000_000_000_000
HOSTNAME = "relay.example.com"


class ListDraft(Draft):
    """A draft that keeps its pieces in memory."""

    def __init__(self) -> None:  # nothing of the real one's files is wanted
        self.pieces: list[bytes] = []
        self.backlog = 0
        self.discarded = False

    def append(self, chunk: bytes) -> None:
        self.pieces.append(chunk)

    def discard(self) -> None:
        self.discarded = True

    @property
    def in_memory(self) -> bytes | None:
        return b"".join(self.pieces)


class InstantSpool:
    """Keeps messages in a list; `room` and `fault` make it refuse; `late` keeps the answers for `release`."""

    def __init__(self) -> None:
        self.messages: list[tuple[Envelope, bytes]] = []
        self.drafts: list[ListDraft] = []
        self.room = True
        self.expected = 0
        self.fault: SpoolError | None = None
        self.late: list[Callable[[], None]] | None = None

    def has_room(self) -> bool:
        return self.room

    def expect(self, change: int) -> None:
        self.expected += change
        assert self.expected >= 0

    def draft(self, on_drain: Callable[[], None]) -> Draft:
        self.drafts.append(ListDraft())
        return self.drafts[-1]

    def put(
        self,
        envelope: Envelope,
        content: bytes | Draft,
        done: Callable[[Stored, list[Work]], None],
        failed: Callable[[SpoolError], None],
    ) -> None:
        def answer() -> None:
            if self.fault is not None:
                failed(self.fault)
                return
            octets = content if isinstance(content, bytes) else b"".join(self.drafts[-1].pieces)
            self.messages.append((envelope, octets))
            done(Stored(envelope, Place("test", 0, 0, 0), octets), [])

        if self.late is None:
            answer()
        else:
            self.late.append(answer)

    def release(self) -> None:
        """Give the answers that were kept."""
        waiting, self.late = self.late or [], []
        for answer in waiting:
            answer()


class MemoryTransport(asyncio.Transport):
    """Collects what is written."""

    def __init__(self, ip: str) -> None:
        super().__init__({"peername": (ip, 40000)})
        self.written = b""
        self.closed = False
        self.reading = True

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol


class Turns:
    """Runs what is to run at the end of a turn at once, one after the other: a turn is over when its callback is."""

    def __init__(self) -> None:
        self._waiting: list[Callable[[], None]] = []
        self._is_running = False

    def add(self, callback: Callable[[], None]) -> None:
        """Run `callback`, or after the one that is running."""
        self._waiting.append(callback)
        if self._is_running:
            return
        self._is_running = True
        while self._waiting:
            self._waiting.pop(0)()
        self._is_running = False


class Desk:
    """Everything a conversation needs, with the parts that tests look at in reach."""

    def __init__(
        self,
        *,
        relay_domains: Iterable[str] = (),
        relay_networks: Iterable[str] = ("127.0.0.0/8",),
        limits: LimitsSettings | None = None,
        policies: tuple[Policy[RcptContext], ...] | None = None,
        stages: Stages | None = None,
        inline: int = 256 << 10,
        at_turn_end: AtTurnEnd | None = None,
        expand: Expand | None = None,
        patience: float = EXPAND_SECONDS,
        logins: Logins | None = None,
    ) -> None:
        self.logins = logins
        self.at_turn_end = at_turn_end or Turns().add
        self.records: list[Record] = []
        self.announced: list[tuple[Envelope, list[Recipient], bytes]] = []
        self.spool = InstantSpool()
        self.limits = limits or LimitsSettings()
        self.time = 1000.0
        self.tarpit: Tarpit | None = None
        self.is_locked: Callable[[str], bool] | None = None
        self.call_later: Callable[[float, Callable[[], None]], object] = lambda _seconds, _callback: None
        access = AccessSettings.model_validate(
            {"relay_domains": list(relay_domains), "relay_networks": list(relay_networks)}
        )
        self.postmaster = parse_mailbox("postmaster@example.com")
        self.control = RelayControl(access, self.postmaster)
        chain = policies if policies is not None else (self.control,)
        self.stages = stages or Stages(
            rcpt=Chain[RcptContext]("rcpt", chain, timeout=5, emit=self.records.append, now=lambda: NOW)
        )
        self.conduct: list[Conduct] = []
        self.watch: Callable[[Conduct], None] = self.conduct.append
        self.intake = Intake(
            spool=self.spool,
            admit=lambda _stored, _works: None,
            emit=self.records.append,
            now=lambda: NOW,
            hostname=HOSTNAME,
            queue_ids=QueueIds(1),
            limits=self.limits,
            inline=inline,
            expand=expand,
            patience=patience,
            announce=lambda *told: self.announced.append(told),
        )

    def welcome(self) -> Welcome:
        """What sessions of these parts are welcomed by."""
        return Welcome(
            hostname=HOSTNAME,
            postmaster=self.postmaster,
            limits=self.limits,
            stages_of=lambda _name: self.stages,
            relays=self.control.relays,
            intake=self.intake,
            watch=self.watch,
            logins=self.logins,
        )

    def listeners(self, inherited: Inherited | None = None) -> Listeners:
        """Live listeners over the same parts, with sockets that were handed over."""
        return Listeners(
            welcome=self.welcome(),
            emit=self.records.append,
            now=lambda: NOW,
            monotonic=lambda: self.time,
            at_turn_end=self.at_turn_end,
            start=1,
            inherited=inherited,
        )

    def terms(
        self, settings: ListenerSettings | None = None, *, enter: Callable[[Guest], Reply | None] = lambda _guest: None
    ) -> Terms:
        """What conversations are held on; `enter` admits them."""
        settings = settings or ListenerSettings(bind=("127.0.0.1:2525",))
        limits = self.limits
        offer = Offer(
            hostname=HOSTNAME,
            message_size=limits.message_size,
            recipients=limits.recipients_per_message,
            messages=limits.messages_per_session,
            command_line=limits.command_line,
            errors=limits.errors_per_session,
            junk=limits.junk_commands,
            normalise=settings.newlines == "normalise",
            auth=self.logins is not None and settings.auth != "off",
            auth_required=settings.auth == "required",
        )
        return Terms(
            name="test",
            limits=limits,
            offer=offer,
            trusted=replace(offer, xclient=True),
            trusts_proxy=None,
            trusts_client=membership(settings.xclient) if settings.xclient else None,
            banner=replies.banner(HOSTNAME),
            greeting_delay=0.0,
            postmaster=self.postmaster,
            stages=self.stages,
            watch=self.watch,
            tarpit=self.tarpit,
            relays=self.control.relays,
            logins=None if settings.auth == "off" else self.logins,
            is_locked=self.is_locked,
            intake=self.intake,
            emit=self.records.append,
            now=lambda: NOW,
            monotonic=lambda: self.time,
            call_later=self.call_later,
            at_turn_end=self.at_turn_end,
            enter=enter,
            leave=lambda _guest: None,
        )

    def connect(
        self, ip: str = "127.0.0.1", settings: ListenerSettings | None = None
    ) -> tuple[Conversation, MemoryTransport]:
        """A conversation with `ip`, its banner already written."""
        conversation = Conversation(self.terms(settings), "test-1")
        transport = MemoryTransport(ip)
        conversation.connection_made(transport)
        return conversation, transport


def converse(
    desk: Desk, pieces: Iterable[bytes], *, ip: str = "127.0.0.1", settings: ListenerSettings | None = None
) -> bytes:
    """All that the server wrote to a client that sent `pieces`, then closed."""
    conversation, transport = desk.connect(ip, settings)
    for piece in pieces:
        if transport.closed:
            break
        conversation.data_received(piece)
    if not transport.closed:
        conversation.eof_received()
    conversation.connection_lost(None)
    return transport.written
