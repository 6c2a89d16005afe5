"""From records to the spans of a trace for each message, from the client's connection to the remote's reply (pure).

The root is the message, from its arrival to the end of its last recipient. Below it: the session that it came by, its
reception, every attempt for every recipient, what rewrote or held one, every report. Nothing is remembered but open
sessions, a bounded number of them: all else is in each record, so that spans made by several processes, or before and
after a restart, are one trace. Names are those of OpenTelemetry's semantic conventions where it has some.
"""

from collections import OrderedDict
from collections.abc import Iterator
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from postroad.model import records as r
from postroad.model.envelope import Origin
from postroad.model.queueid import instant_of
from postroad.model.records import Record
from postroad.model.reply import Reply
from postroad.observe.spans import Attributes, Event, Place, Span, SpanKind, Value, is_kept, part_of, root_of

SESSIONS: Final = 10_000  # open ones that are remembered
MESSAGES: Final = 100  # of one session whose traces get its span
Attempt = r.RecipientDelivered | r.RecipientDeferred | r.RecipientFailed
TRACED: Final[frozenset[type[Record]]] = frozenset(
    {
        r.ConnectionOpened,
        r.ConnectionClosed,
        r.MessageAccepted,
        r.RecipientRewritten,
        r.RecipientExpanded,
        r.RecipientDelivered,
        r.RecipientDeferred,
        r.RecipientFailed,
        r.RecipientHeld,
        r.RecipientHandled,
        r.DsnQueued,
        r.MessageRemoved,
    }
)
# TLS by the names of the `tls` attributes, the words that records have for versions to theirs.
_TLS_VERSIONS: Final = MappingProxyType({"TLSv1": "1", "TLSv1.1": "1.1", "TLSv1.2": "1.2", "TLSv1.3": "1.3"})


class _Session(Struct):
    opened: int
    last: int  # when it opened, or its last message was accepted
    roots: list[Place]  # of the messages that are traced


class Tracing:
    """Makes spans of records that come in the order in which they happened; `ratio` is the part that is traced."""

    def __init__(self, ratio: float) -> None:
        """Begin with no session."""
        self._ratio = ratio
        self._sessions: OrderedDict[str, _Session] = OrderedDict()

    def spans_of(self, record: Record) -> Iterator[Span]:
        """What `record` completes."""
        match record:
            case r.ConnectionOpened():
                self._sessions[record.session] = _Session(record.at, record.at, [])
                if len(self._sessions) > SESSIONS:
                    self._sessions.popitem(last=False)
            case r.ConnectionClosed():
                yield from self._closed(record)
            case r.DsnQueued():
                yield from self._reported(record)
            case (
                r.MessageAccepted()
                | r.MessageRemoved()
                | r.RecipientDelivered()
                | r.RecipientDeferred()
                | r.RecipientFailed()
                | r.RecipientRewritten()
                | r.RecipientExpanded()
                | r.RecipientHeld()
                | r.RecipientHandled()
            ) if is_kept((root := root_of(record.id)).trace, self._ratio):
                yield self._of_message(record, root)

    def _of_message(self, record: Record, root: Place) -> Span:
        match record:
            case r.MessageAccepted():
                return _received(record, root, self._begun(record, root))
            case r.RecipientDelivered() | r.RecipientDeferred() | r.RecipientFailed():
                return _attempt(record, root)
            case r.MessageRemoved():
                start = instant_of(record.id) or record.at
                facts: dict[str, Value] = {"messaging.system": "postroad", "messaging.message.id": record.id}
                return Span(
                    place=root, name="message", kind=SpanKind.INTERNAL, start=start, end=record.at, attributes=facts
                )
            case _:
                return _instant(record, root)

    def _begun(self, record: r.MessageAccepted, root: Place) -> int:
        """When the session of a message opened, or had its message before; without one, when it arrived."""
        session = self._sessions.get(record.origin.session)
        if session is None:
            return record.at
        begun, session.last = session.last, record.at
        if len(session.roots) < MESSAGES:
            session.roots.append(root)
        return begun

    def _closed(self, record: r.ConnectionClosed) -> Iterator[Span]:
        session = self._sessions.pop(record.session, None)
        if session is None:
            return
        origin = Origin(record.ip, record.port, listener=record.listener, session=record.session)
        facts = {
            **_client(origin),
            "postroad.session.commands": record.commands,
            "postroad.session.messages": record.messages,
            "postroad.session.end": record.reason,
        }
        for root in session.roots:
            yield Span(
                place=part_of(root, "session", record.session),
                parent=root.span,
                name="session",
                kind=SpanKind.SERVER,
                start=session.opened,
                end=record.at,
                attributes=facts,
            )

    def _reported(self, record: r.DsnQueued) -> Iterator[Span]:
        """In the trace of the message and in that of the report, each with a link to the other."""
        about, report = root_of(record.id), root_of(record.report)
        facts: dict[str, Value] = {"postroad.report.kind": record.kind, "postroad.report.to": record.to}
        for here, there, name, other in (
            (about, report, "report", record.report),
            (report, about, "reported message", record.id),
        ):
            if is_kept(here.trace, self._ratio):
                yield Span(
                    place=part_of(here, name, record.at, other),
                    parent=here.span,
                    name=name,
                    kind=SpanKind.PRODUCER if here is about else SpanKind.INTERNAL,
                    start=record.at,
                    end=record.at,
                    attributes={**facts, "messaging.message.id": other},
                    links=(there,),
                )


def _received(record: r.MessageAccepted, root: Place, start: int) -> Span:
    facts: dict[str, Value] = {
        "messaging.system": "postroad",
        "messaging.operation.type": "receive",
        "messaging.operation.name": "receive",
        "messaging.message.id": record.id,
        "messaging.message.body.size": record.size,
        **_client(record.origin),
        "postroad.sender": record.sender,
        "postroad.recipients": record.recipients,
        "postroad.message_id": record.message_id,
    }
    return Span(
        place=part_of(root, "receive"),
        parent=root.span,
        name="receive",
        kind=SpanKind.SERVER,
        start=min(start, record.at),
        end=record.at,
        attributes=facts,
    )


def _client(origin: Origin) -> dict[str, Value]:
    facts: dict[str, Value] = {
        "postroad.listener": origin.listener,
        "postroad.session": origin.session,
        "postroad.helo": origin.helo,
        "postroad.protocol": origin.protocol,
        "user.name": origin.login,
        "client.address": origin.ip,
        "network.peer.address": origin.ip,
    }
    if origin.ip:
        name = "http" if origin.protocol.startswith("HTTP") else "smtp"
        facts |= {"network.transport": "tcp", "network.protocol.name": name, "network.peer.port": origin.port}
    return {name: value for name, value in facts.items() if value != ""}


def _attempt(record: Attempt, root: Place) -> Span:
    """One attempt for one recipient: from when a connection was sought to the answer."""
    _, waited, connecting, sending = record.delays
    start = record.at - int((connecting + sending) * 1_000_000)
    facts: dict[str, Value] = {
        "messaging.system": "postroad",
        "messaging.operation.type": "send",
        "messaging.operation.name": "deliver",
        "messaging.destination.name": record.lane,
        "messaging.message.id": record.id,
        "postroad.sender": record.sender,
        "postroad.recipient": record.recipient,
        "postroad.attempt": record.attempts,
        "postroad.delay.total": record.delay,
        "postroad.delay.ready": waited,
        **_server(record.target, "lmtp" if record.lane.startswith("lmtp:") else "smtp"),
        **_reply(record.reply),
    }
    if record.source:
        facts["postroad.source"] = record.source
    events = [Event(record.at - int(sending * 1_000_000), "connected")] if record.target and connecting else []
    error = ""
    if isinstance(record, r.RecipientDelivered):
        facts |= _tls(record.tls)
        if record.secured is not None:
            facts |= {"postroad.tls.level": record.secured.level, "postroad.tls.verified": record.secured.verified}
        if record.size:
            facts["messaging.message.body.size"] = record.size
    else:
        error = str(record.reply)
        facts |= {"error.type": f"{record.reply.code} {record.reply.enhanced}".strip(), "postroad.scope": record.scope}
        facts |= {name: text for name, text in _said(record) if text}
        events.append(_end(record))
    return Span(
        place=part_of(root, "deliver", record.recipient, record.lane, record.attempts, record.at),
        parent=root.span,
        name="deliver",
        kind=SpanKind.CLIENT,
        start=start,
        end=record.at,
        attributes=facts,
        events=tuple(events),
        error=error,
    )


def _said(record: r.RecipientDeferred | r.RecipientFailed) -> tuple[tuple[str, str], ...]:
    return ("postroad.reply.to", record.command), ("postroad.reply.original", record.original)


def _end(record: r.RecipientDeferred | r.RecipientFailed) -> Event:
    """The event that ends an attempt without success."""
    if isinstance(record, r.RecipientFailed):
        return Event(record.at, "failed", {"postroad.expired": record.expired})
    facts: dict[str, Value] = {"postroad.due": f"{datetime.fromtimestamp(record.due / 1_000_000, UTC):%FT%T.%fZ}"}
    if record.moved_to:
        facts["postroad.moved_to"] = record.moved_to
    return Event(record.at, "deferred", facts)


def _server(target: str, protocol: str) -> dict[str, Value]:
    """Whom we asked: "host[address]:port", or "host[/path]" of a unix socket."""
    host, bracket, rest = target.partition("[")
    address, end, port = rest.rpartition("]")
    if not bracket or not end:
        return {"server.address": target} if target else {}
    if address.startswith("/"):
        return {"server.address": address, "network.transport": "unix", "network.protocol.name": protocol}
    facts: dict[str, Value] = {
        "server.address": host,
        "network.peer.address": address,
        "network.transport": "tcp",
        "network.protocol.name": protocol,
    }
    if port.startswith(":") and port[1:].isdecimal():
        facts |= {"server.port": int(port[1:]), "network.peer.port": int(port[1:])}
    return facts


def _tls(text: str) -> dict[str, Value]:
    version, _, cipher = text.partition(" ")
    facts: dict[str, Value] = {"tls.established": bool(text)}
    if version in _TLS_VERSIONS:
        facts |= {"tls.protocol.name": "tls", "tls.protocol.version": _TLS_VERSIONS[version]}
    return facts | ({"tls.cipher": cipher} if cipher else {})


def _reply(reply: Reply) -> dict[str, Value]:
    return {
        "postroad.reply.code": reply.code,
        "postroad.reply.enhanced": reply.enhanced,
        "postroad.reply.text": reply.text,
    }


def _instant(record: Record, root: Place) -> Span:
    """What took no time: its name is what happened, its attributes the facts."""
    name, facts = "event", dict[str, Value]()
    match record:
        case r.RecipientRewritten():
            name, facts = "rewrite", {"postroad.to": record.to, "postroad.reason": record.reason}
        case r.RecipientExpanded():
            name, facts = "expand", {"postroad.to": " ".join(record.to), "postroad.count": record.count}
        case r.RecipientHeld():
            name, facts = "hold", {"messaging.destination.name": record.lane, "postroad.reason": record.reason}
        case r.RecipientHandled():
            facts = {"messaging.destination.name": record.lane, "postroad.by": record.by}
            name, facts = f"operator {record.action}", {**facts, "postroad.reason": record.reason}
    recipient = getattr(record, "recipient", "")
    given: Attributes = {"postroad.recipient": recipient, **{key: fact for key, fact in facts.items() if fact != ""}}
    return Span(
        place=part_of(root, name, recipient, record.at),
        parent=root.span,
        name=name,
        kind=SpanKind.INTERNAL,
        start=record.at,
        end=record.at,
        attributes=given,
    )
