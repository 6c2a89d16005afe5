"""The door for recipients in intake: changed, refused, later, broken, and what is told."""

import asyncio
from collections.abc import Awaitable

import pytest

from postroad.listener.consult import Expand
from postroad.model.address import parse_mailbox
from postroad.model.envelope import Envelope, Recipient
from postroad.model.expansion import Expanded, Expansion, Incoming, Unexpanded
from postroad.model.records import CommandRefused, MessageAccepted, PolicyFaulted, RecipientExpanded
from postroad.model.reply import Reply
from postroad.smtp import replies
from tests.support.conversation import Desk, converse

MAIL = b"EHLO c.example\r\nMAIL FROM:<a@example.org>\r\n"
RCPT = b"RCPT TO:<all@example.net>\r\n"
CONTENT = b"DATA\r\nSubject: x\r\n\r\nhello\r\n.\r\n"

Answer = Expanded | Unexpanded


def to(*addresses: str) -> list[Recipient]:
    return [Recipient(parse_mailbox(address)) for address in addresses]


def everywhere(*addresses: str) -> Expand:
    def expand(incoming: Incoming) -> Answer:
        (given,) = incoming.recipients
        return Expanded(to(*addresses), (Expansion(given, addresses),))

    return expand


def addresses(envelope: Envelope) -> list[str]:
    return [str(recipient.address) for recipient in envelope.recipients]


def test_recipients_are_replaced_and_told() -> None:
    desk = Desk(expand=everywhere("b@y.example", "c@y.example"))
    assert b"queued as" in converse(desk, [MAIL + RCPT + CONTENT])
    ((envelope, _),) = desk.spool.messages
    assert addresses(envelope) == ["b@y.example", "c@y.example"]
    (accepted,) = [record for record in desk.records if isinstance(record, MessageAccepted)]
    (told,) = [record for record in desk.records if isinstance(record, RecipientExpanded)]
    assert accepted.recipients == 2
    assert (told.id, told.recipient, told.to, told.count) == (
        envelope.id,
        "all@example.net",
        ("b@y.example", "c@y.example"),
        2,
    )


def test_the_trace_names_the_recipient_as_given() -> None:
    desk = Desk(expand=everywhere("secret@y.example"))
    converse(desk, [MAIL + RCPT + CONTENT])
    assert "for <all@example.net>" in desk.spool.messages[0][0].prefix
    assert "secret" not in desk.spool.messages[0][0].prefix


def test_access_is_decided_about_the_address_as_given() -> None:
    desk = Desk(relay_domains=["example.net"], relay_networks=[], expand=everywhere("x@outside.example"))
    outside = b"RCPT TO:<x@outside.example>\r\n"
    written = converse(desk, [MAIL + outside + RCPT + CONTENT], ip="192.0.2.1")
    assert b"554 5.7.1 <x@outside.example>: Relay access denied" in written
    assert [addresses(envelope) for envelope, _ in desk.spool.messages] == [["x@outside.example"]]


def test_what_the_door_is_told() -> None:
    seen: list[Incoming] = []

    def expand(incoming: Incoming) -> Answer:
        seen.append(incoming)
        return Expanded(incoming.recipients)

    desk = Desk(expand=expand)
    converse(desk, [MAIL + RCPT + b"RCPT TO:<b@example.net> NOTIFY=NEVER\r\n" + CONTENT])
    (incoming,) = seen
    assert str(incoming.sender) == "a@example.org"
    assert [str(one.address) for one in incoming.recipients] == ["all@example.net", "b@example.net"]
    assert (incoming.origin.helo, incoming.size) == ("c.example", len(b"Subject: x\r\n\r\nhello\r\n"))
    assert desk.spool.messages[0][0].recipients == tuple(incoming.recipients)


@pytest.mark.parametrize("reply", [replies.ALIAS_ERROR, replies.unknown_recipient(parse_mailbox("all@example.net"))])
def test_a_refusal_keeps_nothing(reply: Reply) -> None:
    desk = Desk(expand=lambda _: Unexpanded(reply, "a loop"), inline=4)
    written = converse(desk, [MAIL + RCPT + CONTENT])
    assert reply.encode() in written
    assert desk.spool.messages == []
    assert [draft.discarded for draft in desk.spool.drafts] == [True]
    (refused,) = [record for record in desk.records if isinstance(record, CommandRefused)]
    assert (refused.stage, refused.detail) == ("message", "a loop")


async def test_a_late_answer_keeps_the_order_and_stops_nobody() -> None:
    gate = asyncio.Event()

    async def later(incoming: Incoming) -> Answer:
        await gate.wait()
        return Expanded(to("b@y.example"), (Expansion(incoming.recipients[0], ("b@y.example",)),))

    def expand(incoming: Incoming) -> Answer | Awaitable[Answer]:
        return later(incoming) if len(incoming.recipients) == 1 else Expanded(incoming.recipients)

    desk = Desk(expand=expand)
    slow, slow_transport = desk.connect()
    slow.data_received(MAIL + RCPT + CONTENT + b"NOOP\r\n")
    quick, quick_transport = desk.connect()
    quick.data_received(MAIL + RCPT + RCPT + CONTENT)
    assert b"queued as" in quick_transport.written
    assert slow_transport.written.endswith(b"354 End data with <CR><LF>.<CR><LF>\r\n")
    assert slow.is_waiting
    gate.set()
    for _ in range(10):
        await asyncio.sleep(0)
    assert b"queued as" in slow_transport.written
    assert slow_transport.written.endswith(b"250 2.0.0 Ok\r\n")
    assert addresses(desk.spool.messages[1][0]) == ["b@y.example"]


async def test_no_answer_in_time_defers() -> None:
    async def never(_: Incoming) -> Answer:
        await asyncio.Event().wait()
        raise AssertionError

    desk = Desk(expand=never, patience=0.01)
    conversation, transport = desk.connect()
    conversation.data_received(MAIL + RCPT + CONTENT)
    async with asyncio.timeout(20):
        while replies.ALIASES_UNAVAILABLE.encode() not in transport.written:
            await asyncio.sleep(0.001)
    assert desk.spool.messages == []


async def test_a_broken_door_defers_this_message_alone() -> None:
    def broken(_: Incoming) -> Answer:
        raise ValueError("a bug")

    async def broken_later(_: Incoming) -> Answer:
        raise ValueError("a bug")

    for expand in (broken, broken_later):
        desk = Desk(expand=expand)
        conversation, transport = desk.connect()
        conversation.data_received(MAIL + RCPT + CONTENT)
        for _ in range(10):
            await asyncio.sleep(0)
        assert replies.POLICY_ERROR.encode() in transport.written
        assert [record.reason for record in desk.records if isinstance(record, PolicyFaulted)] == [
            "ValueError('a bug')"
        ]
        assert desk.spool.messages == []


@pytest.mark.parametrize(
    ("sender", "notify", "results", "announced"),
    [
        (b"<a@example.org>", b" NOTIFY=SUCCESS", ("b@y.example", "c@y.example"), True),
        (b"<a@example.org>", b" NOTIFY=SUCCESS,FAILURE", ("b@y.example", "c@y.example"), True),
        (b"<a@example.org>", b" NOTIFY=SUCCESS", ("b@y.example",), False),
        (b"<a@example.org>", b" NOTIFY=FAILURE", ("b@y.example", "c@y.example"), False),
        (b"<a@example.org>", b"", ("b@y.example", "c@y.example"), False),
        (b"<>", b" NOTIFY=SUCCESS", ("b@y.example", "c@y.example"), False),
    ],
)
def test_who_is_told_that_an_alias_was_expanded(
    sender: bytes, notify: bytes, results: tuple[str, ...], announced: bool
) -> None:
    desk = Desk(expand=everywhere(*results))
    converse(desk, [b"EHLO c\r\nMAIL FROM:" + sender + b"\r\n" + RCPT[:-2] + notify + b"\r\n" + CONTENT])
    told = [(envelope.id, [str(one.address) for one in given], head) for envelope, given, head in desk.announced]
    (message, _) = desk.spool.messages[0]
    assert told == ([(message.id, ["all@example.net"], b"Subject: x\r\n\r\nhello\r\n")] if announced else [])
