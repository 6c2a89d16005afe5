"""The client's session without I/O: greeting, EHLO, HELO, LHLO, STARTTLS, and the commands of a transaction."""

import pytest

from postroad.model.address import Mailbox, parse_mailbox
from postroad.model.envelope import (
    BODY_8BITMIME,
    NOTIFY_DELAY,
    NOTIFY_FAILURE,
    NOTIFY_NEVER,
    NOTIFY_SUCCESS,
    Envelope,
    Recipient,
)
from postroad.model.errors import PeerError
from postroad.model.reply import Reply
from postroad.smtp.client import ClientSession, encode_xtext, mail_command, recipient_commands
from postroad.smtp.clientparse import Extensions

EHLO = b"EHLO relay.example.com\r\n"


def greeted(*, lmtp: bool = False, starttls: bool = False) -> ClientSession:
    session = ClientSession("relay.example.com", lmtp=lmtp, starttls=starttls)
    session.receive(b"220 peer.example.net\r\n")
    return session


def test_ehlo() -> None:
    session = ClientSession("relay.example.com")
    assert session.receive(b"220-peer") == b""
    assert session.receive(b".example.net\r\n220 more\r\n") == EHLO
    assert session.receive(b"250-peer.example.net\r\n250 PIPELINING\r\n") == b""
    assert session.is_ready
    assert session.extensions == Extensions(hello=True, pipelining=True)


def test_helo_when_ehlo_is_refused() -> None:
    session = greeted()
    assert session.receive(b"502 what?\r\n") == b"HELO relay.example.com\r\n"
    session.receive(b"250 hello\r\n")
    assert session.is_ready
    assert session.extensions == Extensions()


@pytest.mark.parametrize(
    ("said", "command"),
    [
        ([b"554 go away\r\n"], "greeting"),
        ([b"421 busy\r\n"], "greeting"),
        ([b"220 hi\r\n", b"451 later\r\n"], "EHLO"),
        ([b"220 hi\r\n", b"421 later\r\n"], "EHLO"),
        ([b"220 hi\r\n", b"500 no\r\n", b"550 no\r\n"], "HELO"),
    ],
)
def test_refused(said: list[bytes], command: str) -> None:
    session = ClientSession("relay.example.com")
    for octets in said:
        session.receive(octets)
    assert session.refused is not None
    assert session.awaiting == command
    assert not session.is_ready


def test_lmtp_has_lhlo_alone() -> None:
    session = ClientSession("relay.example.com", lmtp=True)
    assert session.receive(b"220 hi\r\n") == b"LHLO relay.example.com\r\n"
    assert session.receive(b"500 no\r\n") == b""
    assert session.refused == Reply(500, "", "no")


def test_starttls_forgets_what_was_offered_before() -> None:
    session = greeted(starttls=True)
    assert session.receive(b"250-peer\r\n250-CHUNKING\r\n250 STARTTLS\r\n") == b"STARTTLS\r\n"
    assert session.receive(b"220 go\r\n") == b""
    assert session.wants_tls
    assert session.tls_started() == EHLO
    session.receive(b"250-peer\r\n250-STARTTLS\r\n250 DSN\r\n")
    assert session.is_ready
    assert session.extensions == Extensions(hello=True, starttls=True, dsn=True)


def test_starttls_refused_goes_on_in_plain_text() -> None:
    session = greeted(starttls=True)
    session.receive(b"250-peer\r\n250 STARTTLS\r\n")
    session.receive(b"454 no TLS today\r\n")
    assert session.is_ready
    assert not session.wants_tls


def test_plain_text_behind_the_reply_to_starttls_is_an_attack() -> None:
    session = greeted(starttls=True)
    session.receive(b"250-peer\r\n250 STARTTLS\r\n")
    with pytest.raises(PeerError):
        session.receive(b"220 go\r\n250 injected\r\n")
    session = greeted(starttls=True)
    session.receive(b"250-peer\r\n250 STARTTLS\r\n")
    session.receive(b"220 go\r\n250-inj")
    with pytest.raises(PeerError):
        session.tls_started()


def test_replies_that_answer_nothing() -> None:
    with pytest.raises(PeerError):
        ClientSession("relay.example.com").receive(b"220 hi\r\n250 there\r\n")
    with pytest.raises(PeerError):
        ClientSession("relay.example.com").receive(b"354 hi\r\n")


def envelope(**changes: object) -> Envelope:
    sender = parse_mailbox("alice@example.org")
    return Envelope("3Pt2mN2VXxznj", sender, (), 0, 100, **changes)  # type: ignore[arg-type]  # fields by name


def test_mail_has_only_what_the_peer_offers() -> None:
    full = envelope(ret="HDRS", envid="QQ314159")
    assert mail_command(full, Extensions(), size=9) == "MAIL FROM:<alice@example.org>"
    everything = Extensions(has_size=True, dsn=True)
    assert mail_command(full, everything, size=9, body=BODY_8BITMIME, smtputf8=True) == (
        "MAIL FROM:<alice@example.org> SIZE=9 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QQ314159"
    )
    null = Envelope("3Pt2mN2VXxznj", Mailbox(), (), 0, 100)
    assert mail_command(null, everything, size=9) == "MAIL FROM:<> SIZE=9"


def test_rcpt_has_dsn_parameters() -> None:
    bob = parse_mailbox("bob+x@example.net")
    recipients = [
        Recipient(bob, NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY, "rfc822;bob@example.org"),
        Recipient(bob, NOTIFY_NEVER),
        Recipient(bob),
        Recipient(parse_mailbox("jörg+x@example.net")),
        Recipient(bob, 0, "utf-8;jörg@example.net"),
    ]
    to = "RCPT TO:<bob+x@example.net>"
    assert recipient_commands(recipients[:1]) == [to]
    assert recipient_commands(recipients, dsn=True, smtputf8=True) == [
        f"{to} NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;bob@example.org",
        f"{to} NOTIFY=NEVER ORCPT=rfc822;bob+2Bx@example.net",
        f"{to} ORCPT=rfc822;bob+2Bx@example.net",
        r"RCPT TO:<jörg+x@example.net> ORCPT=utf-8;jörg\x{2B}x@example.net",
        f"{to} ORCPT=utf-8;jörg@example.net",
    ]
    assert recipient_commands(recipients[4:], dsn=True) == [to]  # no UTF-8 without SMTPUTF8


def test_xtext() -> None:
    assert encode_xtext("a b+c=d\x7fé") == "a+20b+2Bc+3Dd+7F+E9"
