"""What replies and faults mean: scope, enhanced codes, too many recipients."""

import pytest

from postroad.delivery.classify import CONNECT, from_fault, from_reply, from_session_reply, is_too_many, settle
from postroad.model.outcome import Deferred, Delivered, Failed, Scope
from postroad.model.reply import Reply
from postroad.model.route import SMTP, Target
from postroad.smtp.clientparse import Extensions, ReplyReader
from postroad.smtp.transaction import CONTENT, DATA, MAIL, RCPT, Transaction

TARGET = Target(SMTP, "mx.example.net", "192.0.2.1", 25)


@pytest.mark.parametrize(
    ("reply", "command", "kind", "scope", "enhanced"),
    [
        (Reply(550, "", "no"), RCPT, Failed, Scope.RECIPIENT, "5.1.0"),
        (Reply(550, "5.7.1", "no"), RCPT, Failed, Scope.RECIPIENT, "5.7.1"),
        (Reply(552, "", "full"), RCPT, Failed, Scope.RECIPIENT, "5.2.2"),
        (Reply(554, "", "no"), RCPT, Failed, Scope.RECIPIENT, "5.0.0"),
        (Reply(450, "", "later"), RCPT, Deferred, Scope.RECIPIENT, "4.2.0"),
        (Reply(451, "4.3.0", "later"), RCPT, Deferred, Scope.RECIPIENT, "4.3.0"),
        (Reply(550, "", "no"), MAIL, Failed, Scope.MESSAGE, "5.1.0"),
        (Reply(450, "", "later"), MAIL, Deferred, Scope.MESSAGE, "4.1.0"),
        (Reply(452, "", "full"), MAIL, Deferred, Scope.HOST, "4.3.1"),
        (Reply(451, "4.7.1", "greylisted"), MAIL, Deferred, Scope.MESSAGE, "4.7.1"),
        (Reply(552, "", "big"), CONTENT, Failed, Scope.MESSAGE, "5.3.4"),
        (Reply(451, "", "later"), CONTENT, Deferred, Scope.MESSAGE, "4.0.0"),
        (Reply(554, "", "no"), DATA, Failed, Scope.MESSAGE, "5.0.0"),
    ],
)
def test_reply(reply: Reply, command: str, kind: type, scope: Scope, enhanced: str) -> None:
    outcome = from_reply(reply, command, TARGET)
    assert type(outcome) is kind
    assert outcome == kind(Reply(reply.code, enhanced, reply.text), scope, TARGET, command)


@pytest.mark.parametrize(
    ("reply", "enhanced"),
    [
        (Reply(554, "", "go away"), "4.0.0"),
        (Reply(554, "5.7.1", "go away"), "4.7.1"),
        (Reply(421, "", "busy"), "4.3.2"),
        (Reply(450, "4.7.0", "busy"), "4.7.0"),
    ],
)
def test_refused_session_is_the_host(reply: Reply, enhanced: str) -> None:
    outcome = from_session_reply(reply, "greeting", TARGET)
    assert outcome == Deferred(Reply(reply.code, enhanced, reply.text), Scope.HOST, TARGET, "greeting")


def test_faults() -> None:
    refused = from_fault("connection refused", CONNECT, TARGET)
    assert refused.scope is Scope.HOST
    assert refused.command == ""
    assert str(refused.reply) == "451 4.4.1 connect to mx.example.net[192.0.2.1]:25: connection refused"
    lost = from_fault("lost connection", MAIL, TARGET)
    assert lost.scope is Scope.HOST
    assert (
        str(lost.reply)
        == "451 4.4.2 mx.example.net[192.0.2.1]: lost connection while waiting for the reply to MAIL FROM"
    )
    assert from_fault("lost connection", CONTENT, TARGET).scope is Scope.HOST
    late = from_fault("lost connection", CONTENT, TARGET, content_is_sent=True)
    assert late.scope is Scope.MESSAGE
    assert "may arrive twice" in late.reply.text


@pytest.mark.parametrize(
    ("reply", "command", "expected"),
    [
        (Reply(452, "", ""), RCPT, True),
        (Reply(452, "4.5.3", ""), RCPT, True),
        (Reply(552, "", ""), RCPT, True),
        (Reply(552, "5.5.3", ""), RCPT, True),
        (Reply(450, "4.5.3", ""), RCPT, True),
        (Reply(452, "4.2.2", "over quota"), RCPT, False),
        (Reply(452, "4.3.1", "disk"), RCPT, False),
        (Reply(552, "5.2.2", "over quota"), RCPT, False),
        (Reply(450, "", ""), RCPT, False),
        (Reply(452, "", ""), MAIL, False),
    ],
)
def test_too_many(reply: Reply, command: str, expected: bool) -> None:
    assert is_too_many(reply, command) is expected


def transacted(said: bytes, recipients: int = 3) -> Transaction:
    commands = [f"RCPT TO:<u{number}@example.net>" for number in range(recipients)]
    transaction = Transaction(ReplyReader(), Extensions(pipelining=True), "MAIL FROM:<a@example.org>", commands)
    transaction.begin()
    transaction.receive(said)
    return transaction


def test_settled_recipient_by_recipient() -> None:
    transaction = transacted(b"250 Ok\r\n250 Ok\r\n550 5.1.1 who\r\n452 4.5.3 too many\r\n354 Go\r\n")
    transaction.content_sent()
    transaction.receive(b"250 Ok\r\n")
    result = settle(transaction, "", TARGET, dsn=True, tls="TLSv1.3")
    assert result.outcomes == [
        Delivered(Reply(250, "2.0.0", "Ok"), TARGET, dsn_passed=True, tls="TLSv1.3"),
        Failed(Reply(550, "5.1.1", "who"), Scope.RECIPIENT, TARGET, RCPT),
        None,
    ]
    assert result.too_many == 1
    assert result.host is None


def test_too_many_with_none_taken_is_a_plain_refusal() -> None:
    transaction = transacted(b"250 Ok\r\n552 full\r\n554 no\r\n", 1)
    assert settle(transaction, "", TARGET, dsn=False, tls="").outcomes == [
        Failed(Reply(552, "5.2.2", "full"), Scope.RECIPIENT, TARGET, RCPT)
    ]


def test_421_leaves_what_is_not_settled_to_the_next_target() -> None:
    result = settle(transacted(b"250 Ok\r\n550 no\r\n421 bye\r\n"), "", TARGET, dsn=False, tls="")
    assert result.outcomes == [Failed(Reply(550, "5.1.0", "no"), Scope.RECIPIENT, TARGET, RCPT), None, None]
    assert result.host == Deferred(Reply(421, "4.3.2", "bye"), Scope.HOST, TARGET, RCPT)


def test_lost_before_and_after_the_end_of_the_content() -> None:
    transaction = transacted(b"250 Ok\r\n" * 4 + b"354 Go\r\n")
    before = settle(transaction, "lost connection", TARGET, dsn=False, tls="")
    assert before.outcomes == [None] * 3
    assert before.host is not None
    transaction.content_sent()
    after = settle(transaction, "lost connection", TARGET, dsn=False, tls="")
    assert after.host is None
    assert [type(outcome) for outcome in after.outcomes] == [Deferred] * 3


def test_storage_trouble_at_mail_is_the_host() -> None:
    result = settle(
        transacted(b"452 4.3.1 full\r\n503 x\r\n503 x\r\n503 x\r\n503 x\r\n"), "", TARGET, dsn=False, tls=""
    )
    assert result.outcomes == [None] * 3
    assert result.host == Deferred(Reply(452, "4.3.1", "full"), Scope.HOST, TARGET, MAIL)
