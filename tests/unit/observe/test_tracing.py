"""Records become one trace for each message, with the ids that every process computes alike."""

from collections.abc import Iterable

import msgspec

from postroad.model.envelope import Origin
from postroad.model.queueid import QueueIds, instant_of
from postroad.model.records import ConnectionOpened, DsnQueued, MessageRemoved, Record
from postroad.observe.otlp import encoded
from postroad.observe.selection import RECORD_TYPES
from postroad.observe.spans import Span, SpanKind, is_kept, root_of
from postroad.observe.tracing import MESSAGES, SESSIONS, TRACED, Tracing
from tests.support.records import AT, QUEUE_ID, SAMPLES, accepted, closed, deferred, delivered, failed


def spans(records: Iterable[Record], ratio: float = 1.0) -> list[Span]:
    tracing = Tracing(ratio)
    return [span for record in records for span in tracing.spans_of(record)]


def opened(session: str = "s1", at: int = AT) -> ConnectionOpened:
    return ConnectionOpened(at=at, session=session, listener="mx", ip="192.0.2.7", port=40000)


def test_the_ids_come_from_the_queue_id_alone() -> None:
    root = root_of(QUEUE_ID)
    assert (len(root.trace), len(root.span)) == (16, 8)
    assert root_of(QUEUE_ID) == root
    assert root.trace.hex() == "b9dfb0e97e4e2d5d825b3bf550ac898c"  # every version must go on with the same traces
    ids = QueueIds(7)
    assert len({root_of(ids.new(AT)).trace for _ in range(10_000)}) == 10_000


def test_a_message_is_one_trace() -> None:
    found = spans(
        [
            opened(at=AT - 3_000_000),
            accepted(),
            deferred("bob@example.net", at=AT + 1_000_000),
            closed("quit", "ehlo=1", messages=1, at=AT + 2_000_000),
            delivered(at=AT + 60_000_000),
            MessageRemoved(at=AT + 60_000_000, id=QUEUE_ID),
        ]
    )
    assert [span.name for span in found] == ["receive", "deliver", "session", "deliver", "message"]
    root = root_of(QUEUE_ID)
    assert {span.place.trace for span in found} == {root.trace}
    assert [span.parent for span in found] == [root.span] * 4 + [b""]
    assert found[-1].place == root
    assert len({span.place for span in found}) == 5
    receive, tried, session, sent, message = found
    assert (receive.start, receive.end) == (AT - 3_000_000, AT)
    assert (session.start, session.end) == (AT - 3_000_000, AT + 2_000_000)
    assert (message.start, message.end) == (instant_of(QUEUE_ID), AT + 60_000_000)
    assert sent.start == sent.end - 1_149_000
    assert sent.kind is SpanKind.CLIENT
    assert [event.name for event in tried.events] == ["connected", "deferred"]
    assert tried.error == "450 4.2.0 Greylisted, come again"
    assert tried.attributes["error.type"] == "450 4.2.0"
    assert [(event.name, event.at) for event in sent.events] == [("connected", sent.end - 49_000)]


def test_attributes_have_the_names_of_the_conventions() -> None:
    facts = spans([delivered()])[0].attributes
    wanted = {
        "server.address": "mail.example.net",
        "server.port": 25,
        "network.peer.address": "192.0.2.25",
        "network.peer.port": 25,
        "network.transport": "tcp",
        "network.protocol.name": "smtp",
        "tls.established": True,
        "tls.protocol.version": "1.3",
        "tls.cipher": "TLS_AES_256_GCM_SHA384",
        "messaging.destination.name": "mx:example.net",
        "messaging.operation.type": "send",
        "messaging.message.id": QUEUE_ID,
        "messaging.message.body.size": 4096,
        "postroad.reply.code": 250,
        "postroad.recipient": "bob@example.net",
    }
    assert {name: facts.get(name) for name in wanted} == wanted
    unix = spans([failed()])[0].attributes
    assert unix["server.address"] == "/run/lmtp.sock"
    assert (unix["network.transport"], unix["network.protocol.name"]) == ("unix", "lmtp")
    assert "server.address" not in spans([deferred(command="")])[0].attributes


def test_every_record_of_messages_is_told_and_can_be_encoded() -> None:
    told = {type(record) for record in SAMPLES if spans([opened(), accepted(), record])[1:]}
    assert told | {ConnectionOpened} >= TRACED
    assert set(RECORD_TYPES.values()) > TRACED
    for span in spans(SAMPLES):
        out = encoded(span)
        assert out.start_time_unix_nano <= out.end_time_unix_nano
        assert (len(out.trace_id), len(out.span_id), len(out.parent_span_id) in {0, 8}) == (16, 8, True)
    hostile = msgspec.structs.replace(accepted(), origin=Origin("192.0.2.7", 1, "\udcff\x00é", "ESMTP", "mx", "s1"))
    assert encoded(spans([hostile])[0]).SerializeToString()


def test_a_report_and_what_it_is_about_link_to_each_other() -> None:
    about, of = spans([DsnQueued(at=AT, id=QUEUE_ID, report="3Pt2mN2VXxznk", kind="failed", to="alice@example.org")])
    message, report = root_of(QUEUE_ID), root_of("3Pt2mN2VXxznk")
    assert (about.place.trace, about.parent, about.links) == (message.trace, message.span, (report,))
    assert (of.place.trace, of.parent, of.links) == (report.trace, report.span, (message,))


def test_messages_of_one_session_follow_one_another() -> None:
    tracing = Tracing(1.0)
    list(tracing.spans_of(opened()))
    ids = QueueIds(1)
    for number in range(MESSAGES + 5):
        (span,) = tracing.spans_of(accepted(queue_id=ids.new(AT), at=AT + number))
        assert (span.start, span.end) == (AT + max(number - 1, 0), AT + number)
    assert len(list(tracing.spans_of(closed("quit", "")))) == MESSAGES
    assert list(tracing.spans_of(closed("quit", ""))) == []


def test_open_sessions_are_bounded() -> None:
    tracing = Tracing(1.0)
    for number in range(SESSIONS + 10):
        list(tracing.spans_of(opened(f"s{number}")))
    assert len(tracing._sessions) == SESSIONS


def test_the_ratio_keeps_whole_traces() -> None:
    ids = QueueIds(3)
    names = [ids.new(AT) for _ in range(4000)]
    kept = {name for name in names if spans([accepted(queue_id=name)], 0.25)}
    assert 800 < len(kept) < 1200  # the ids are fixed, so this either always holds or never
    for name in names[:200]:
        records = [
            opened(),
            accepted(queue_id=name),
            delivered(queue_id=name),
            closed("quit", ""),
            MessageRemoved(at=AT, id=name),
        ]
        assert len(spans(records, 0.25)) == (4 if name in kept else 0)
        assert not spans(records, 0.0)
        assert not is_kept(root_of(name).trace, 0.25) or is_kept(root_of(name).trace, 0.5)
