"""Policies of every stage: when they are asked, what their verdicts do, and what is done to messages."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from postroad.model.address import parse_mailbox
from postroad.model.envelope import Envelope
from postroad.model.records import (
    CommandRefused,
    MessageAdjusted,
    MessageDiscarded,
    RecipientDiscarded,
    Record,
)
from postroad.model.reply import Reply
from postroad.policy.chain import Chain
from postroad.policy.context import MailContext, MessageContext, RcptContext
from postroad.policy.stages import Stages
from postroad.policy.verdict import Accept, Adjust, Answer, Defer, Discard, Reject
from tests.support.conversation import NOW, Desk, converse

SESSION = (
    b"EHLO c.example\r\n",
    b"MAIL FROM:<a@example.org>\r\n",
    b"RCPT TO:<b@example.net>\r\n",
    b"DATA\r\n",
    b"Subject: x\r\n\r\nhello\r\n.\r\n",
    b"QUIT\r\n",
)
NO = Reject(Reply(550, "5.7.1", "no"), "because")
LATER = Defer(Reply(450, "4.7.1", "later"), "not now")
STAGES = ("connect", "hello", "mail", "rcpt", "data", "message")

Policy = Callable[[Any], Any]


def yes(_: object) -> Answer:
    return Accept("yes")


def late(policy: Policy) -> Policy:
    async def answer(context: object) -> object:
        await asyncio.sleep(0)
        return policy(context)

    return answer


def desk_with(**policies: Policy) -> Desk:
    records: list[Record] = []
    chains: dict[str, Any] = {
        stage: Chain[Any](stage, (policy,), timeout=30, emit=records.append, now=lambda: NOW)
        for stage, policy in {"rcpt": yes, **policies}.items()
    }
    return Desk(stages=Stages(**chains))


def replies(desk: Desk) -> list[str]:
    return converse(desk, SESSION).decode().splitlines()


async def replies_later(desk: Desk) -> list[str]:
    conversation, transport = desk.connect()
    for piece in SESSION:
        conversation.data_received(piece)
    for _ in range(100):
        await asyncio.sleep(0)
    return transport.written.decode().splitlines()


def only(desk: Desk) -> Envelope:
    ((envelope, _),) = desk.spool.messages
    return envelope


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("verdict", [NO, LATER])
@pytest.mark.parametrize("is_late", [False, True])
def test_a_stage_refuses(stage: str, verdict: Reject | Defer, *, is_late: bool) -> None:
    def refuse(_: object) -> Answer:
        return verdict

    if is_late:

        async def run() -> tuple[Desk, list[str]]:
            desk = desk_with(**{stage: late(refuse)})
            return desk, await replies_later(desk)

        desk, lines = asyncio.run(run())
    else:
        desk = desk_with(**{stage: refuse})
        lines = replies(desk)
    assert str(verdict.reply) in lines
    assert not desk.spool.messages
    first = next(record for record in desk.records if isinstance(record, CommandRefused))
    assert (first.stage, first.reply, first.detail) == (stage, verdict.reply, verdict.reason)
    # What is refused for now is no offence; the commands that follow all the same are.
    offences = [record for record in desk.records if isinstance(record, CommandRefused) and record.reply.is_permanent]
    assert [one.kind for one in desk.conduct] == ["refused"] * len(offences)


@pytest.mark.parametrize("stage", ["hello", "mail", "rcpt", "data", "message"])
def test_a_verdict_may_end_the_session(stage: str) -> None:
    desk = desk_with(**{stage: lambda _: Reject(Reply(554, "5.7.1", "go away"), "enough", leave=True)})
    assert replies(desk)[-1] == "554 5.7.1 go away"


@pytest.mark.parametrize("stage", STAGES)
def test_the_stages_are_asked_at_once_or_later_and_mail_flows(stage: str) -> None:
    async def run() -> tuple[Desk, list[str]]:
        desk = desk_with(**{stage: late(yes)})
        return desk, await replies_later(desk)

    desk, lines = asyncio.run(run())
    assert lines[-1] == "221 2.0.0 Bye"
    assert only(desk).recipients[0].address == parse_mailbox("b@example.net")
    assert [(one.kind, one.count) for one in desk.conduct] == [("accepted", 1)]


def test_nothing_is_looked_at_before_the_banner() -> None:
    async def run() -> None:
        gate = asyncio.Event()

        async def wait(_: object) -> Answer | None:
            await gate.wait()
            return None

        desk = desk_with(connect=wait)
        conversation, transport = desk.connect()
        conversation.data_received(b"".join(SESSION))
        await asyncio.sleep(0)
        assert transport.written == b""
        gate.set()
        for _ in range(20):
            await asyncio.sleep(0)
        assert transport.written.startswith(b"220 ")
        assert transport.written.endswith(b"221 2.0.0 Bye\r\n")

    asyncio.run(run())


def test_adjustments_of_all_stages_add_up() -> None:
    def adjust(_: object) -> Answer:
        return Adjust("first", tags=("one", "two"), route="slow")

    def accept(_: object) -> Answer:
        return Accept("yes", Adjust("second", tags=("two", "three"), hold="odd", route="quick", tls="required"))

    desk = desk_with(mail=adjust, rcpt=accept)
    assert "queued as" in replies(desk)[-2]
    envelope = only(desk)
    assert (envelope.tags, envelope.held, envelope.route, envelope.tls) == (
        ("one", "two", "three"),
        "odd",
        "slow",
        "required",
    )
    (told,) = [record for record in desk.records if isinstance(record, MessageAdjusted)]
    assert (told.id, told.reason, told.held) == (envelope.id, "first; second", "odd")


def test_what_a_connection_earned_holds_for_each_message() -> None:
    desk = desk_with(connect=lambda _: Adjust("listed", tags=("listed",)))
    converse(desk, [*SESSION[:-1], *SESSION[1:]])
    assert [envelope.tags for envelope, _ in desk.spool.messages] == [("listed",), ("listed",)]


def test_recipients_are_redirected_and_added() -> None:
    carol, dave = parse_mailbox("carol@example.com"), parse_mailbox("dave@example.com")

    def redirect(context: RcptContext) -> Answer:
        if context.recipient.local == "b":
            return Accept("yes", Adjust("moved", redirect=(carol,)))
        return Accept("yes")

    desk = desk_with(rcpt=redirect, message=lambda _: Adjust("copied", add=(dave, carol)))
    converse(desk, [*SESSION[:3], b"RCPT TO:<x@example.net>\r\n", *SESSION[3:]])
    assert [one.address.text for one in only(desk).recipients] == [
        "carol@example.com",
        "x@example.net",
        "dave@example.com",
    ]
    desk = desk_with(message=lambda _: Adjust("moved", redirect=(carol, dave)))
    replies(desk)
    assert [one.address for one in only(desk).recipients] == [carol, dave]
    assert "b@example.net" not in only(desk).prefix


def test_what_a_refused_recipient_asked_for_is_forgotten() -> None:
    def first_adjusts(_: object) -> Answer:
        return Adjust("tagged", tags=("odd",))

    def then_refuses(context: RcptContext) -> Answer:
        return NO if context.recipient.local == "b" else Accept("yes")

    chain = Chain[RcptContext]("rcpt", (first_adjusts, then_refuses), timeout=30, emit=lambda _: None, now=lambda: NOW)
    desk = Desk(stages=Stages(rcpt=chain))
    converse(desk, [*SESSION[:3], b"RCPT TO:<x@example.net>\r\n", *SESSION[3:]])
    assert only(desk).tags == ("odd",)
    assert len([one for one in desk.records if isinstance(one, MessageAdjusted)]) == 1
    desk = Desk(stages=Stages(rcpt=chain))
    converse(desk, SESSION)
    assert not desk.spool.messages


@pytest.mark.parametrize("stage", ["mail", "data", "message"])
def test_a_discarded_message_is_said_to_be_queued(stage: str) -> None:
    desk = desk_with(**{stage: lambda _: Discard("unwanted")})
    assert "250 2.0.0 Ok: queued as" in replies(desk)[-2]
    assert not desk.spool.messages
    (told,) = [record for record in desk.records if isinstance(record, MessageDiscarded)]
    assert (told.reason, told.recipients, told.sender) == ("unwanted", 1, "a@example.org")
    assert told.id in replies(desk_with(**{stage: lambda _: Discard("unwanted")}))[-2]


def test_a_discarded_recipient_is_left_out_and_told() -> None:
    def discard(context: RcptContext) -> Answer:
        return Discard("unwanted") if context.recipient.local == "b" else Accept("yes")

    desk = desk_with(rcpt=discard)
    converse(desk, [*SESSION[:3], b"RCPT TO:<x@example.net>\r\n", *SESSION[3:]])
    assert [one.address.text for one in only(desk).recipients] == ["x@example.net"]
    (told,) = [record for record in desk.records if isinstance(record, RecipientDiscarded)]
    assert (told.recipient, told.id) == ("b@example.net", only(desk).id)
    desk = desk_with(rcpt=discard)
    replies(desk)
    assert not desk.spool.messages
    assert [type(one) for one in desk.records if isinstance(one, MessageDiscarded | RecipientDiscarded)] == [
        MessageDiscarded,
        RecipientDiscarded,
    ]


def test_facts_of_the_connection_are_seen_by_its_transactions_alone() -> None:
    seen: list[object] = []

    def put(context: MailContext) -> Awaitable[Answer | None] | Answer | None:
        seen.append(context.facts.get(str))
        context.facts.put("of the transaction")
        return None

    def look(context: MessageContext) -> Answer | None:
        seen.extend((context.facts.get(str), context.facts.get(int)))
        return None

    def connect(context: MailContext) -> Answer | None:
        context.facts.put(7)
        return None

    desk = desk_with(connect=connect, mail=put, message=look)
    converse(desk, [*SESSION[:-1], *SESSION[1:]])
    assert seen == [None, "of the transaction", 7] * 2
