"""STARTTLS in the session without I/O: when it may come, what it forgets, and what may come before it."""

import pytest
from msgspec.structs import replace

from postroad.smtp import replies
from postroad.smtp.events import Hello, MailFrom, Refused, StartTls
from postroad.smtp.extensions import Offer, under_tls
from postroad.smtp.server import ServerSession

OFFER = Offer("relay.example.com", 1 << 20, 100, 100, 4096, 20, 100, starttls=True)


def begun(offer: Offer = OFFER) -> ServerSession:
    session = ServerSession(offer)
    session.greet(replies.banner("relay.example.com"))
    session.data_to_send()
    return session


def say(session: ServerSession, octets: bytes) -> bytes:
    """What is answered when everything is allowed but STARTTLS, which waits."""
    session.receive_data(octets)
    while (event := session.next_event()) is not None:
        if isinstance(event, Hello | MailFrom):
            session.answer(replies.SENDER_OK)
    return session.data_to_send()


def test_it_is_offered_once() -> None:
    session = begun()
    assert b"250-STARTTLS\r\n" in say(session, b"EHLO c\r\n")
    session.receive_data(b"STARTTLS\r\n")
    assert isinstance(session.next_event(), StartTls)
    session.expect_handshake()
    assert session.data_to_send() == b"220 2.0.0 Ready to start TLS\r\n"
    session.secure(under_tls(OFFER))
    assert not session.waiting
    assert b"STARTTLS" not in say(session, b"EHLO c\r\n")
    assert say(session, b"STARTTLS\r\n").startswith(b"503 5.5.1 TLS is active already")


def test_everything_before_it_is_forgotten() -> None:
    session = begun(replace(OFFER, auth=True, auth_required=True))
    say(session, b"EHLO before\r\n")
    session.has_login, session.needs_login = True, False
    session.receive_data(b"STARTTLS\r\n")
    session.next_event()
    session.expect_handshake()
    session.secure(under_tls(replace(OFFER, auth=True, auth_required=True)))
    assert (session.hello, session.extended, session.has_login, session.needs_login) == ("", False, False, True)
    session.data_to_send()
    assert say(session, b"MAIL FROM:<a@example.com>\r\n").startswith(b"503 5.5.1 Send EHLO or HELO first")


@pytest.mark.parametrize("split", [True, False])
def test_octets_behind_it_end_the_session(split: bool) -> None:
    session = begun()
    lines = b"EHLO c\r\nSTARTTLS\r\nNOOP\r\n"
    events = []
    for piece in (lines[:12], lines[12:]) if split else (lines,):
        session.receive_data(piece)
        while (event := session.next_event()) is not None:
            events.append(event)
            if isinstance(event, Hello):
                session.answer(replies.OK)
    assert Refused("starttls", replies.EARLY_OCTETS, "6 octets behind STARTTLS") in events
    assert not any(isinstance(event, StartTls) for event in events)
    assert session.is_closed
    assert session.data_to_send().endswith(b"\r\n554 5.5.1 Protocol error: octets behind STARTTLS\r\n")


@pytest.mark.parametrize(
    ("before", "answer"),
    [
        (b"", b"503 5.5.1 Send EHLO or HELO first\r\n"),
        (b"EHLO c\r\nMAIL FROM:<a@example.com>\r\n", b"503 5.5.1 Not allowed in a mail transaction\r\n"),
    ],
)
def test_it_has_its_place(before: bytes, answer: bytes) -> None:
    session = begun()
    say(session, before)
    assert say(session, b"STARTTLS\r\n") == answer
    assert not session.is_closed


def test_it_takes_no_argument_and_is_unknown_where_it_is_not_offered() -> None:
    session = begun()
    say(session, b"EHLO c\r\n")
    assert say(session, b"STARTTLS x\r\n").startswith(b"501 5.5.4")
    session = begun(replace(OFFER, starttls=False))
    say(session, b"EHLO c\r\n")
    assert say(session, b"STARTTLS\r\n").startswith(b"502 5.5.1")


def test_where_it_is_required_little_else_may_come_first() -> None:
    session = begun(replace(OFFER, needs_tls=True))
    for line in (b"EHLO c", b"NOOP", b"RSET", b"HELO c"):
        assert say(session, line + b"\r\n").startswith(b"250")
    for line in (
        b"MAIL FROM:<a@example.com>",
        b"RCPT TO:<a@b>",
        b"DATA",
        b"BDAT 1",
        b"VRFY a",
        b"HELP",
        b"AUTH X",
        b"ETRN",
    ):
        assert say(session, line + b"\r\n") == b"530 5.7.0 Must issue a STARTTLS command first\r\n", line
    assert say(session, b"GET / HTTP/1.1\r\n").startswith(b"554 5.5.1 This is an SMTP server")
    assert session.is_closed
