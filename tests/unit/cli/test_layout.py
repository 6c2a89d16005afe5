"""The queue as people read it, and words of peers made harmless."""

import pytest
from msgspec.structs import replace

from postroad.cli.layout import block_lines, message_lines, moment_text, printable, size_text, span_text, total_line
from postroad.model.address import NULL_PATH
from postroad.model.envelope import Envelope
from postroad.model.work import Place, Status
from postroad.spool.listing import Listed, ListedRecipient, Stats

_SECOND = 1_000_000
_NOW = 1_800_000_000 * _SECOND


def _recipient(**fields: object) -> ListedRecipient:
    given: dict[str, object] = {
        "index": 0,
        "address": "you@example.net",
        "lane": "mx:example.net",
        "due": _NOW + 250 * _SECOND,
        "deadline": None,
        "status": Status.PENDING,
        "attempts": 2,
        "warned": False,
        "reply": "451 4.4.1 no answer",
        "leased": False,
    }
    return ListedRecipient(**given | fields)  # type: ignore[arg-type]  # a builder of samples


def _message(*recipients: ListedRecipient) -> Listed:
    arrived = _NOW - 3700 * _SECOND
    return Listed("3Pt2mN2VXxznj", "me@example.com", 4200, arrived, Place("main", 1, 52, 4700), list(recipients))


@pytest.mark.parametrize(
    ("octets", "text"),
    [(0, "0"), (999, "999"), (1024, "1.0K"), (4200, "4.1K"), (10 << 10, "10K"), (25 << 20, "25M"), (3 << 40, "3.0T")],
)
def test_sizes(octets: int, text: str) -> None:
    assert size_text(octets) == text


@pytest.mark.parametrize(("seconds", "text"), [(-5, "0s"), (59, "59s"), (60, "1m"), (7300, "2h"), (200000, "2d")])
def test_spans(seconds: int, text: str) -> None:
    assert span_text(seconds * _SECOND) == text


def test_nobody_steers_the_terminal() -> None:
    assert printable("a\x1b[2Jb\n") == "a\\x1b[2Jb\\n"
    assert printable("gr\u00fc\u00dfe") == "gr\u00fc\u00dfe"


def test_a_block_has_every_recipient_with_its_last_reply() -> None:
    message = _message(
        _recipient(),
        _recipient(address="b@example.net", due=_NOW, attempts=1, reply=""),
        _recipient(address="c@example.net", leased=True, attempts=0, reply=""),
        _recipient(address="d@example.net", status=Status.HELD, reply="251 \x07"),
    )
    for number, recipient in enumerate(message.recipients):
        recipient.index = number
    assert list(block_lines(message, _NOW, causes={0: "retry", 1: "concurrency", 3: "held"})) == [
        f"3Pt2mN2VXxznj   4.1K  {moment_text(message.arrived)}  <me@example.com>",
        "    retry        you@example.net  pending, next try in 4m, after 2 tries",
        "                   (451 4.4.1 no answer)",
        "    concurrency  b@example.net  pending, next try now, after 1 try",
        "                 c@example.net  pending, in the server's hands",
        "    held         d@example.net  held, after 2 tries",
        "                   (251 \\x07)",
    ]


def test_what_policies_decided_is_shown() -> None:
    plain = Envelope("3Pt2mN2VXxznj", NULL_PATH, (), arrived=0, size=0)
    decided = replace(plain, tags=("invoice", "hr"), held="rule 3\x07", route="dlp", tls="required")
    message = _message(_recipient())
    lines = list(message_lines(message, decided, _NOW, waits={}))
    assert [line for line in lines if line not in list(message_lines(message, plain, _NOW, waits={}))] == [
        "tags       invoice, hr",
        "held       when it was accepted: rule 3\\x07",
        "route      dlp, chosen by policy",
        "tls        required by policy",
    ]


def test_a_message_whose_envelope_cannot_be_read_is_still_shown() -> None:
    lines = list(message_lines(_message(_recipient(lane="", warned=True)), None, _NOW, waits={0: "retry: not yet"}))
    assert "envelope   cannot be read: see postroad spool verify" in lines
    assert "next hop   (not known yet)" in lines
    assert "delay      the sender was told" in lines
    assert f"arrived    {moment_text(_NOW - 3700 * _SECOND)}, 1h ago" in lines


@pytest.mark.parametrize(
    ("stats", "shown", "text"),
    [
        (Stats(), 0, "The queue is empty."),
        (Stats(1, 812, 1), 1, "1 message, 812 octets; recipients: 1 pending"),
        (Stats(300, 4200, 400, 7), 100, "300 messages, 4.1K; recipients: 400 pending, 7 held; 100 shown"),
    ],
)
def test_the_closing_line(stats: Stats, shown: int, text: str) -> None:
    assert total_line(stats, shown) == text
