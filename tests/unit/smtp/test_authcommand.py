"""AUTH's lines: how long they may be, what "=" and "*" are, and that a session is as it was after a refusal."""

from base64 import b64encode

import pytest

from postroad.smtp import replies
from postroad.smtp.authcommand import parse_auth, parse_response
from postroad.smtp.command import RefusalError
from postroad.smtp.events import AuthResponse, AuthStarted, Event, Hello, Refused
from postroad.smtp.extensions import Offer
from postroad.smtp.server import ServerSession

LINE = 12288  # RFC 4954 4, with CRLF


def session(*, command_line: int = 4096) -> ServerSession:
    """One that has said EHLO."""
    offer = Offer("relay.example.com", 1000, 100, 100, command_line, 20, 100, auth=True)
    made = ServerSession(offer)
    made.greet(replies.banner("relay.example.com"))
    made.receive_data(b"EHLO c\r\n")
    assert isinstance(made.next_event(), Hello)
    made.answer(replies.OK)
    made.data_to_send()
    return made


def say(made: ServerSession, line: bytes) -> Event | None:
    made.receive_data(line + b"\r\n")
    return made.next_event()


def coded(size: int) -> bytes:
    """Base64 of exactly `size` octets."""
    assert size % 4 == 0
    return b64encode(b"x" * (size // 4 * 3))


def test_a_response_of_the_greatest_length() -> None:
    made = session()
    assert say(made, b"AUTH PLAIN") == AuthStarted("PLAIN", None)
    made.answer(replies.challenge(""))
    found = say(made, coded(LINE - 4))
    assert isinstance(found, AuthResponse)
    assert len(found.data) == (LINE - 4) // 4 * 3
    made.answer(replies.AUTH_DONE)
    assert made.data_to_send() == b"334 \r\n" + replies.AUTH_DONE.encode()


@pytest.mark.parametrize("size", [LINE - 1, LINE, 200_000])
def test_a_response_that_is_too_long(size: int) -> None:
    made = session()
    say(made, b"AUTH PLAIN")
    made.answer(replies.challenge(""))
    for at in range(0, size, 5000):
        made.receive_data(b"A" * min(5000, size - at))
        assert made.next_event() is None
        assert made.buffered <= LINE
    found = say(made, b"")
    assert isinstance(found, Refused)
    assert found.reply == replies.AUTH_LINE_TOO_LONG
    assert isinstance(say(made, b"AUTH PLAIN"), AuthStarted)


def test_the_command_may_be_longer_than_others() -> None:
    made = session()
    initial = coded(LINE - 16)
    found = say(made, b"AUTH PLAIN " + initial)
    assert isinstance(found, AuthStarted)
    made.answer(replies.BAD_CREDENTIALS)
    other = say(made, b"NOOP " + b"x" * 4090)
    assert isinstance(other, Refused)
    assert other.reply == replies.LINE_TOO_LONG
    wide = session(command_line=65536)
    too_long = say(wide, b"AUTH PLAIN " + coded(LINE))
    assert isinstance(too_long, Refused)
    assert too_long.reply == replies.AUTH_LINE_TOO_LONG


@pytest.mark.parametrize("size", [LINE - 12, LINE, 200_000])
@pytest.mark.parametrize("verb", [b"AUTH", b"auth"])
def test_a_command_that_is_too_long(size: int, verb: bytes) -> None:
    made = session()
    line = verb + b" PLAIN " + b"A" * size
    for at in range(0, len(line), 5000):
        made.receive_data(line[at : at + 5000])
        assert made.next_event() is None
        assert made.buffered <= LINE
    found = say(made, b"")
    assert isinstance(found, Refused)
    assert found.reply == replies.AUTH_LINE_TOO_LONG
    other = say(made, b"AUTHOR " + b"A" * size)
    assert isinstance(other, Refused)
    assert other.reply == replies.LINE_TOO_LONG
    assert isinstance(say(made, b"AUTH PLAIN"), AuthStarted)


def test_other_lines_have_their_own_limit() -> None:
    made = session()
    assert say(made, b"NOOP " + b"x" * 4089) is None  # 4096 with CRLF
    assert made.data_to_send().startswith(b"250 ")


@pytest.mark.parametrize(
    ("argument", "found"),
    [
        (b"plain", ("PLAIN", None)),
        (b" SCRAM-SHA-256-PLUS ", ("SCRAM-SHA-256-PLUS", None)),
        (b"EXTERNAL =", ("EXTERNAL", b"")),
        (b"PLAIN eA==", ("PLAIN", b"x")),
    ],
)
def test_the_command(argument: bytes, found: tuple[str, bytes | None]) -> None:
    assert parse_auth(argument) == found


@pytest.mark.parametrize(
    ("line", "problem", "reply"),
    [
        (b"*", "", replies.AUTH_CANCELLED),
        (b"==", "", replies.AUTH_NOT_BASE64),
        (b"canary!", "", replies.AUTH_NOT_BASE64),
        (b"eA=", "", replies.AUTH_NOT_BASE64),
        (b"", "bare LF", replies.AUTH_NOT_BASE64),
        (b"", "too long", replies.AUTH_LINE_TOO_LONG),
    ],
)
def test_responses_that_end_the_exchange(line: bytes, problem: str, reply: object) -> None:
    with pytest.raises(RefusalError) as error:
        parse_response(line, problem)
    assert error.value.reply == reply
    assert "canary" not in str(error.value)


def test_an_empty_response() -> None:
    assert parse_response(b"", "") == parse_response(b"=", "") == b""  # curl sends the latter


def test_events_show_nothing() -> None:
    assert "canary" not in repr(AuthStarted("PLAIN", b"canary")) + repr(AuthResponse(b"canary"))
