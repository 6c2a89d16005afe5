"""Conversations: pausing, late answers, drains, drops, and what is recorded."""

import asyncio
from collections.abc import Callable

import pytest

from postroad.listener.settings import LimitsSettings, ListenerSettings
from postroad.model.errors import SpoolError, SpoolFullError
from postroad.model.identity import Identity
from postroad.model.records import CommandRefused, ConnectionClosed, ConnectionOpened, MessageAccepted
from postroad.policy.context import RcptContext
from postroad.policy.verdict import Accept, Verdict
from postroad.smtp.state import LINES_A_TURN
from tests.support.conversation import Desk, converse
from tests.support.logins import Scripted, logins_of

ENVELOPE = b"EHLO c.example\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"
MESSAGE = b"Message-ID: <1@c.example>\r\n\r\nhello\r\n.\r\n"


def test_records_tell_the_story() -> None:
    desk = Desk()
    converse(desk, [ENVELOPE, MESSAGE, b"QUIT\r\n"])
    opened, accepted, closed = desk.records
    assert isinstance(opened, ConnectionOpened)
    assert isinstance(accepted, MessageAccepted)
    assert accepted.message_id == "<1@c.example>"
    assert isinstance(closed, ConnectionClosed)
    assert (closed.reason, closed.messages, closed.commands) == (
        "quit",
        1,
        "ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5",
    )


def test_nothing_is_said_before_it_is_durable() -> None:
    desk = Desk()
    desk.spool.late = []
    conversation, transport = desk.connect()
    conversation.data_received(ENVELOPE + MESSAGE + b"NOOP\r\n")
    assert transport.written.endswith(b"354 End data with <CR><LF>.<CR><LF>\r\n")
    desk.spool.release()
    assert b"250 2.0.0 Ok: queued as " in transport.written
    assert transport.written.endswith(b"250 2.0.0 Ok\r\n")


def test_the_spool_hears_of_messages_that_are_on_their_way() -> None:
    desk = Desk()
    spool = desk.spool
    spool.late = []
    one, _ = desk.connect()
    two, _ = desk.connect()
    assert spool.expected == 2, "new clients are likely to bring a message"
    one.data_received(ENVELOPE + MESSAGE)
    assert spool.expected == 1, "it is here, though not durable"
    spool.release()
    assert spool.expected == 1, "whether it has another one is not known"
    one.data_received(b"MAIL FROM:<a@example.org>\r\nRSET\r\nMAIL FROM:<a@example.org>\r\n")
    assert spool.expected == 2
    one.connection_lost(None)
    two.connection_lost(None)
    assert spool.expected == 0
    desk.spool.room = False
    three, _ = desk.connect()
    three.data_received(ENVELOPE + b"QUIT\r\n")
    three.connection_lost(None)
    assert spool.expected == 0


def test_a_client_that_dies_in_content_leaves_nothing() -> None:
    desk = Desk(inline=16)
    conversation, _ = desk.connect()
    conversation.data_received(ENVELOPE + b"x" * 100)
    conversation.connection_lost(ConnectionResetError("reset"))
    assert desk.spool.messages == []
    assert desk.spool.drafts[0].discarded
    closed = desk.records[-1]
    assert isinstance(closed, ConnectionClosed)
    assert closed.reason == "reset while receiving content"


def test_a_client_that_leaves_before_the_answer_gets_its_message_once() -> None:
    desk = Desk()
    desk.spool.late = []
    conversation, transport = desk.connect()
    conversation.data_received(ENVELOPE + MESSAGE + ENVELOPE + MESSAGE)
    conversation.connection_lost(None)
    desk.spool.release()
    assert len(desk.spool.messages) == 1
    assert b"queued" not in transport.written


@pytest.mark.parametrize(
    ("fault", "reply"), [(SpoolFullError("full"), b"452 4.3.1"), (SpoolError("broken"), b"451 4.3.0")]
)
def test_spool_faults_are_transient(fault: SpoolError, reply: bytes) -> None:
    desk = Desk()
    desk.spool.fault = fault
    written = converse(desk, [ENVELOPE, MESSAGE, b"QUIT\r\n"])
    assert reply in written
    assert b"queued" not in written
    assert any(isinstance(record, CommandRefused) and record.detail == str(fault) for record in desk.records)


def test_a_full_disk_is_told_before_the_content() -> None:
    desk = Desk()
    conversation, transport = desk.connect()
    conversation.data_received(ENVELOPE.removesuffix(b"DATA\r\n"))
    desk.spool.room = False
    conversation.data_received(b"DATA\r\n")
    assert transport.written.endswith(b"452 4.3.1 Insufficient system storage, try again later\r\n")
    desk.spool.room = True
    conversation.data_received(b"RSET\r\n" + ENVELOPE + MESSAGE)
    assert len(desk.spool.messages) == 1


def test_a_full_disk_refuses_a_chunk_after_reading_it() -> None:
    desk = Desk()
    conversation, transport = desk.connect()
    conversation.data_received(ENVELOPE.removesuffix(b"DATA\r\n"))
    desk.spool.room = False
    conversation.data_received(b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")
    assert transport.written.endswith(b"452 4.3.1 Insufficient system storage, try again later\r\n250 2.0.0 Ok\r\n")


def test_input_is_not_read_without_bound() -> None:
    desk = Desk(limits=LimitsSettings(junk_commands=100_000))
    desk.spool.late = []
    conversation, transport = desk.connect()
    conversation.data_received(ENVELOPE + MESSAGE + b"NOOP\r\n" * 100_000)
    steps = [transport.reading]
    for step in (desk.spool.release, conversation.pause_writing, conversation.resume_writing):
        step()
        steps.append(transport.reading)
    assert steps == [False, True, False, True]


def test_a_flood_of_commands_leaves_turns_to_others() -> None:
    """However much came in one read, only so many lines are obeyed before replies leave and others have their turn."""
    turns: list[Callable[[], None]] = []
    desk = Desk(limits=LimitsSettings(junk_commands=100_000), at_turn_end=turns.append)
    conversation, transport = desk.connect()
    transport.written = b""
    conversation.data_received(b"NOOP\r\n" * 1000)
    counts = [transport.written.count(b"250 ")]
    while turns:
        turns.pop(0)()
        if transport.written.count(b"250 ") != counts[-1]:
            counts.append(transport.written.count(b"250 "))
    assert counts == list(range(0, 1001, LINES_A_TURN))


def test_a_peer_that_reads_no_replies_gets_no_more_of_them() -> None:
    turns: list[Callable[[], None]] = []
    desk = Desk(limits=LimitsSettings(junk_commands=100_000), at_turn_end=turns.append)
    conversation, transport = desk.connect()
    conversation.data_received(b"NOOP\r\n" * 1000)
    conversation.pause_writing()
    before = len(transport.written)
    while turns:
        turns.pop(0)()
    stopped = transport.written.count(b"250 ")
    assert stopped == LINES_A_TURN
    assert len(transport.written) > before
    conversation.resume_writing()
    while turns:
        turns.pop(0)()
    assert transport.written.count(b"250 ") == 1000


def test_all_of_a_flood_is_obeyed_before_a_half_closed_connection_goes() -> None:
    turns: list[Callable[[], None]] = []
    desk = Desk(limits=LimitsSettings(junk_commands=100_000), at_turn_end=turns.append)
    conversation, transport = desk.connect()
    conversation.data_received(b"NOOP\r\n" * 250 + b"QUIT\r\n")
    assert conversation.eof_received()
    while turns:
        turns.pop(0)()
    assert transport.written.count(b"250 ") == 250
    assert transport.written.endswith(b"221 2.0.0 Bye\r\n")
    assert transport.closed


def test_content_waits_for_the_disk() -> None:
    desk = Desk(inline=16)
    conversation, transport = desk.connect()
    conversation.data_received(ENVELOPE + b"x" * 20)
    desk.spool.drafts[0].backlog = 2 << 20
    conversation.data_received(b"y" * 20)
    held = transport.reading
    conversation.data_received(b"\r\n.\r\n")
    assert (held, transport.reading) == (False, True)  # what follows the message is read, drained or not


def test_reading_goes_on_when_content_that_waits_for_the_disk_is_given_up() -> None:
    desk = Desk(inline=16)
    conversation, transport = desk.connect()
    conversation.data_received(ENVELOPE.removesuffix(b"DATA\r\n") + b"BDAT 20\r\n" + b"x" * 20)
    desk.spool.drafts[0].backlog = 2 << 20
    conversation.data_received(b"BDAT 1\r\nx")
    held = transport.reading
    conversation.data_received(b"RSET\r\n")
    assert (held, transport.reading) == (False, True)


def test_many_bad_messages_at_once_do_not_pile_up() -> None:
    limits = LimitsSettings(errors_per_session=10_000)
    bad = ENVELOPE + b"bare\nline\r\n.\r\n"
    written = converse(Desk(limits=limits), [bad * 2000, b"QUIT\r\n"])
    assert written.count(b"554 5.6.0") == 2000


@pytest.mark.parametrize("command", [b"RSET\r\n", b"RSET\r\nMAIL FROM:<>\r\n", b"RSET\r\nNOOP\r\n"])
def test_a_drain_lets_nothing_new_begin(command: bytes) -> None:
    desk = Desk()
    conversation, transport = desk.connect()
    conversation.data_received(b"EHLO c\r\nMAIL FROM:<a@example.org>\r\n")
    conversation.drain()
    states = [transport.closed]
    conversation.data_received(command)
    states.append(transport.closed)
    assert states == [False, True]
    assert transport.written.endswith(b"421 4.3.2 Service shutting down, try again later\r\n")


def test_drain_lets_a_transaction_finish() -> None:
    desk = Desk()
    idle, idle_transport = desk.connect()
    busy, busy_transport = desk.connect()
    busy.data_received(ENVELOPE)
    for conversation in (idle, busy):
        conversation.drain()
    assert idle_transport.written.endswith(b"421 4.3.2 Service shutting down, try again later\r\n")
    assert idle_transport.closed
    assert not busy_transport.closed
    desk.spool.late = []
    busy.data_received(MESSAGE)
    desk.spool.release()
    assert b"queued as" in busy_transport.written
    assert busy_transport.closed


def test_time_out_says_so() -> None:
    conversation, transport = Desk().connect()
    conversation.time_out()
    assert transport.written.endswith(b"421 4.4.2 Timeout, closing connection\r\n")
    assert transport.closed
    assert conversation.has_timed_out


async def test_who_speaks_for_others_lends_nobody_its_log_in() -> None:
    """Behind XCLIENT the log-in that was said counts, and no other: AUTH is required again without one."""
    desk = Desk()
    desk.logins = logins_of([Scripted("s", Identity("filter", "s"))], plain_text_networks=["127.0.0.0/8"])
    settings = ListenerSettings.model_validate(
        {"bind": ["127.0.0.1:0"], "auth": "required", "xclient": ["127.0.0.0/8"]}
    )
    conversation, transport = desk.connect("127.0.0.1", settings)

    async def say(line: bytes) -> bytes:
        before = len(transport.written)
        conversation.data_received(line + b"\r\n")
        while len(transport.written) == before:
            await asyncio.sleep(0)
        return transport.written[before : before + 3]

    await say(b"EHLO filter")
    assert await say(b"AUTH PLAIN AGEAYg==") == b"235"
    assert await say(b"MAIL FROM:<a@example.com>") == b"250"
    assert await say(b"RSET") == b"250"
    assert await say(b"XCLIENT ADDR=192.0.2.9 HELO=one") == b"220"
    assert await say(b"MAIL FROM:<a@example.com>") == b"530"
    assert await say(b"XCLIENT LOGIN=ann HELO=one") == b"220"
    assert await say(b"MAIL FROM:<a@example.com>") == b"250"
    assert await say(b"RSET") == b"250"
    assert await say(b"XCLIENT PORT=9 HELO=one") == b"220"
    assert await say(b"MAIL FROM:<a@example.com>") == b"530"


async def test_a_policy_may_wait() -> None:
    gate = asyncio.Event()

    async def slow(_: RcptContext) -> Verdict | None:
        await gate.wait()
        return Accept("at last")

    desk = Desk(policies=(slow,))
    conversation, transport = desk.connect()
    conversation.data_received(ENVELOPE + MESSAGE)
    await asyncio.sleep(0)
    assert transport.written.endswith(b"250 2.1.0 Ok\r\n")
    gate.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert b"queued as" in transport.written


def test_without_any_opinion_a_recipient_is_refused() -> None:
    written = converse(Desk(policies=()), [ENVELOPE, b"QUIT\r\n"])
    assert b"554 5.7.1 <b@example.net>: Relay access denied" in written


def test_bare_postmaster_goes_to_the_configured_address() -> None:
    desk = Desk()
    converse(desk, [ENVELOPE.replace(b"b@example.net", b"Postmaster"), MESSAGE])
    assert desk.spool.messages[0][0].recipients[0].address.text == "postmaster@example.com"
