"""Transactions without I/O: pipelined or not, DATA or BDAT, SMTP or LMTP, refusals at every stage."""

import pytest

from postroad.model.errors import AddressError, PeerError
from postroad.model.reply import Reply
from postroad.smtp.clientparse import Extensions, ReplyReader
from postroad.smtp.transaction import CONTENT, DATA, MAIL, RCPT, Transaction

MAIL_COMMAND = "MAIL FROM:<alice@example.org>"
GROUP = b"MAIL FROM:<alice@example.org>\r\nRCPT TO:<u0@example.net>\r\nRCPT TO:<u1@example.net>\r\n"
OK = b"250 Ok\r\n"


def start(recipients: int = 2, *, pipelining: bool = True, chunked: bool = False, lmtp: bool = False) -> Transaction:
    commands = [f"RCPT TO:<u{number}@example.net>" for number in range(recipients)]
    extensions = Extensions(pipelining=pipelining)
    return Transaction(ReplyReader(), extensions, MAIL_COMMAND, commands, is_chunked=chunked, is_lmtp=lmtp)


def codes(transaction: Transaction) -> list[tuple[int, str]]:
    return [(reply.code if reply else 0, command) for reply, command in transaction.answers()]


def test_pipelined_all_granted() -> None:
    transaction = start()
    assert transaction.begin() == GROUP + b"DATA\r\n"
    assert transaction.receive(OK * 3 + b"354 Go\r\n") == b""
    assert transaction.wants_content
    assert transaction.has_begun
    transaction.content_sent()
    transaction.receive(b"250 2.0.0 Ok: taken\r\n")
    assert transaction.ended
    assert transaction.is_clean
    assert not transaction.needs_reset
    assert transaction.granted == Reply(250, "2.0.0", "Ok: taken")
    assert codes(transaction) == [(250, CONTENT)] * 2


def test_one_command_at_a_time() -> None:
    transaction = start(pipelining=False)
    assert transaction.begin(reset=True) == b"RSET\r\n"
    assert transaction.receive(OK) == b"MAIL FROM:<alice@example.org>\r\n"
    assert transaction.receive(OK) == b"RCPT TO:<u0@example.net>\r\n"
    assert transaction.receive(b"550 no\r\n") == b"RCPT TO:<u1@example.net>\r\n"
    assert transaction.receive(OK) == b"DATA\r\n"
    transaction.receive(b"354 Go\r\n")
    assert transaction.wants_content
    transaction.content_sent()
    transaction.receive(b"452 full\r\n")
    assert codes(transaction) == [(550, RCPT), (452, CONTENT)]
    assert transaction.granted is None


def test_one_command_at_a_time_stops_when_mail_is_refused() -> None:
    transaction = start(pipelining=False)
    transaction.begin()
    assert transaction.receive(b"550 no\r\n") == b""
    assert transaction.ended
    assert not transaction.needs_reset
    assert codes(transaction) == [(550, MAIL)] * 2


def test_each_recipient_has_its_own_reply() -> None:
    transaction = start(3)
    transaction.begin()
    transaction.receive(OK + b"450 later\r\n" + OK + b"550 no\r\n354 Go\r\n")
    transaction.content_sent()
    transaction.receive(OK)
    assert codes(transaction) == [(450, RCPT), (250, CONTENT), (550, RCPT)]


def test_lone_dot_when_data_is_granted_without_recipients() -> None:
    transaction = start()
    transaction.begin()
    assert transaction.receive(OK + b"550 no\r\n" * 2 + b"354 Go\r\n") == b".\r\n"
    assert not transaction.wants_content
    transaction.receive(b"554 no valid recipients\r\n")
    assert transaction.ended
    assert transaction.is_clean
    assert not transaction.needs_reset
    assert codes(transaction) == [(550, RCPT)] * 2


def test_mail_refused_but_the_rest_granted_sends_nothing() -> None:
    transaction = start()
    transaction.begin()
    assert transaction.receive(b"550 no\r\n" + OK * 2 + b"354 Go\r\n") == b".\r\n"
    transaction.receive(OK)
    assert codes(transaction) == [(550, MAIL)] * 2


def test_all_recipients_refused_needs_a_reset() -> None:
    transaction = start()
    transaction.begin()
    transaction.receive(OK + b"550 no\r\n" * 2 + b"554 no valid recipients\r\n")
    assert transaction.ended
    assert transaction.needs_reset
    again = start()
    assert again.begin(reset=True) == b"RSET\r\n" + GROUP + b"DATA\r\n"
    again.receive(OK * 4 + b"354 Go\r\n")
    assert again.wants_content


def test_data_refused() -> None:
    transaction = start()
    transaction.begin()
    transaction.receive(OK * 3 + b"451 later\r\n")
    assert codes(transaction) == [(451, DATA)] * 2
    assert transaction.needs_reset


def test_lmtp_has_one_reply_for_each_recipient() -> None:
    transaction = start(3, lmtp=True)
    transaction.begin()
    transaction.receive(OK + OK + b"550 no\r\n" + OK + b"354 Go\r\n")
    transaction.content_sent()
    transaction.receive(OK)
    assert codes(transaction)[2] == (0, CONTENT)
    transaction.receive(b"452 over quota\r\n")
    assert transaction.ended
    assert codes(transaction) == [(250, CONTENT), (550, RCPT), (452, CONTENT)]


def test_lmtp_broken_between_two_replies() -> None:
    transaction = start(2, lmtp=True)
    transaction.begin()
    transaction.receive(OK * 3 + b"354 Go\r\n")
    transaction.content_sent()
    transaction.receive(OK)
    assert transaction.granted is None
    assert codes(transaction) == [(250, CONTENT), (0, CONTENT)]


def test_lmtp_354_without_a_recipient_breaks_the_protocol() -> None:
    transaction = start(1, lmtp=True)
    transaction.begin()
    with pytest.raises(PeerError):
        transaction.receive(OK + b"550 no\r\n354 Go\r\n")


def test_chunks() -> None:
    transaction = start(chunked=True)
    assert transaction.begin() == GROUP
    transaction.receive(OK * 3)
    assert transaction.wants_content
    transaction.chunk_sent()
    transaction.chunk_sent()
    transaction.receive(OK)
    assert transaction.wants_content
    transaction.content_sent()
    transaction.receive(OK)
    assert not transaction.ended
    transaction.receive(OK)
    assert codes(transaction) == [(250, CONTENT)] * 2


def test_chunk_refused_refuses_the_message() -> None:
    transaction = start(chunked=True)
    transaction.begin()
    transaction.receive(OK * 3)
    transaction.chunk_sent()
    transaction.receive(b"552 too big\r\n")
    assert transaction.ended
    assert not transaction.is_clean
    assert codes(transaction) == [(552, CONTENT)] * 2


def test_last_chunk_refused_needs_a_reset() -> None:
    transaction = start(chunked=True)
    transaction.begin()
    transaction.receive(OK * 3)
    transaction.content_sent()
    transaction.receive(b"554 no\r\n")
    assert transaction.needs_reset


def test_chunks_are_not_sent_without_recipients() -> None:
    transaction = start(chunked=True)
    transaction.begin()
    transaction.receive(OK + b"550 no\r\n" * 2)
    assert transaction.ended
    assert transaction.needs_reset


def test_refused_while_the_content_is_sent() -> None:
    transaction = start()
    transaction.begin()
    transaction.receive(OK * 3 + b"354 Go\r\n")
    transaction.receive(b"552 too big\r\n")
    assert transaction.ended
    assert not transaction.is_clean
    assert codes(transaction) == [(552, CONTENT)] * 2


def test_granted_before_the_content_ended_is_no_grant() -> None:
    transaction = start()
    transaction.begin()
    transaction.receive(OK * 3 + b"354 Go\r\n")
    with pytest.raises(PeerError):
        transaction.receive(OK)


@pytest.mark.parametrize(("before", "command"), [(0, MAIL), (1, RCPT), (2, RCPT), (3, DATA)])
def test_421_ends_the_session_anywhere(before: int, command: str) -> None:
    transaction = start()
    transaction.begin()
    transaction.receive(OK * before + b"421 bye\r\n")
    assert transaction.ended
    assert not transaction.is_clean
    assert transaction.closing == Reply(421, "", "bye")
    assert transaction.closed_at == command
    assert transaction.answers()[1][0] is None


@pytest.mark.parametrize("said", [b"354 x\r\n", OK + b"354 x\r\n", OK * 3 + b"250 x\r\n", b"hello\r\n"])
def test_replies_that_make_no_sense(said: bytes) -> None:
    transaction = start()
    transaction.begin()
    with pytest.raises(PeerError):
        transaction.receive(said)


def test_reply_before_its_command() -> None:
    transaction = start(pipelining=False)
    transaction.begin()
    with pytest.raises(PeerError):
        transaction.receive(OK * 2)
    assert codes(transaction) == [(0, RCPT)] * 2


def test_reply_after_the_end() -> None:
    transaction = start()
    transaction.begin()
    transaction.receive(OK * 3 + b"354 Go\r\n")
    transaction.content_sent()
    with pytest.raises(PeerError):
        transaction.receive(OK + b"250 what\r\n")
    assert transaction.ended
    assert not transaction.is_clean
    assert codes(transaction) == [(250, CONTENT)] * 2


@pytest.mark.parametrize("bad", ["a\r\nRSET", "a\nb", "a\rb", "a\0b", "a\x7fb"])
def test_no_command_carries_another_one(bad: str) -> None:
    for mail, recipient in ((f"MAIL FROM:<{bad}>", "RCPT TO:<u@example.net>"), (MAIL_COMMAND, f"RCPT TO:<{bad}>")):
        transaction = Transaction(ReplyReader(), Extensions(), mail, [recipient])
        with pytest.raises(AddressError):
            transaction.begin()
