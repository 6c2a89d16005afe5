"""Every type of record in every format, against golden files, and nothing a peer says escapes its line.

To accept a wanted change of the lines: delete the golden file, run once (it fails and writes the file), read it.
"""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroad.model import records
from postroad.model.envelope import Origin
from postroad.model.records import CommandRefused, ConnectionClosed, MessageAccepted, RecipientFailed, Record
from postroad.model.reply import Reply
from postroad.observe.formats.lines import LINE_LIMIT, seconds
from postroad.observe.log import FormatName, make_format
from tests.support.records import AT, QUEUE_ID, SAMPLES, deferred

FORMATS: tuple[FormatName, ...] = ("json", "postfix", "text")
GOLDEN = Path(__file__).parent / "golden"

any_text = st.text(st.characters(codec=None), max_size=60) | st.sampled_from(
    ("a\nb", "\r\n", "\x1b[2J", "\x7f", "\u0085", "\u009b31m", "\u2028", "\ud800", "\u202etxt", "\x00", "é日本")
)


def types_of_records() -> set[type[Record]]:
    kinds = vars(records).values()
    return {kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Record) and kind is not Record}


def test_the_samples_have_every_type_of_record() -> None:
    assert {type(sample) for sample in SAMPLES} == types_of_records()


@pytest.mark.parametrize("name", FORMATS)
def test_lines_of_every_record(name: FormatName) -> None:
    encode = make_format(name, hostname="relay.example.com", pid=4242)
    lines = b"".join(encode(sample) for sample in SAMPLES).decode()
    golden = GOLDEN / f"{name}.txt"
    if not golden.exists():
        golden.write_text(lines)
        pytest.fail(f"{golden} did not exist and was written: read it")
    assert lines.splitlines() == golden.read_text().splitlines()


def test_json_lines_are_the_records() -> None:
    encode = make_format("json", hostname="", pid=0)
    for sample in SAMPLES:
        line = encode(sample)
        told = json.loads(line)
        assert told.pop("time") == "2023-11-14T22:13:20.123Z"
        assert msgspec.convert(told, type(sample), strict=True) == sample


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.004, "0"), (0.006, "0.01"), (0.114, "0.11"), (1.263, "1.3"), (9.94, "9.9"), (12.4, "12")],
)
def test_delays_as_postfix_writes_them(value: float, text: str) -> None:
    assert seconds(value) == text


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_no_delay_is_too_odd(value: float) -> None:
    assert seconds(value)


def hostile(text: str) -> list[Record]:
    """Records with `text` wherever words of a peer can come from."""
    origin = Origin("192.0.2.7", 1, text, "ESMTP", "mx", text)
    delays = (0.0, 0.0, 0.0, 0.0)
    return [
        CommandRefused(
            at=AT, origin=origin, stage="rcpt", reply=Reply(550, "", text), detail=text, sender=text, recipient=text
        ),
        CommandRefused(at=AT, origin=origin, stage=text, reply=Reply(500, "", text), detail=text),
        MessageAccepted(at=AT, id=QUEUE_ID, origin=origin, sender=text, recipients=1, size=1, message_id=text),
        ConnectionClosed(
            at=AT,
            session=text,
            listener="mx",
            ip="::1",
            port=1,
            reason=text,
            commands=text,
            messages=0,
            seconds=0.0,
        ),
        RecipientFailed(
            at=AT,
            id=QUEUE_ID,
            sender=text,
            recipient=text,
            lane=text,
            target=text,
            reply=Reply(550, text, text),
            command=text,
            scope="recipient",
            attempts=1,
            delay=0.0,
            delays=delays,
        ),
    ]


@settings(max_examples=200)
@given(any_text)
def test_no_word_of_a_peer_leaves_its_line(text: str) -> None:
    for name in FORMATS:
        encode = make_format(name, hostname="relay.example.com", pid=1)
        for record in hostile(text):
            lines = encode(record).decode()
            assert lines.endswith("\n")
            assert all(line.isprintable() and line for line in lines[:-1].split("\n"))
            if name == "json":
                assert json.loads(lines)["record"] == type(record).__name__
                assert lines.count("\n") == 1
            elif name == "postfix":
                assert all(line.startswith("Nov 14 22:13:20 relay.example.com postfix/") for line in lines.splitlines())


@pytest.mark.parametrize("name", FORMATS)
def test_a_line_break_of_the_next_hop_stays_in_the_line(name: FormatName) -> None:
    assert make_format(name, hostname="h", pid=1)(deferred()).count(b"\n") == 1


def test_utf8_addresses_stay_readable() -> None:
    for name in FORMATS:
        line = make_format(name, hostname="h", pid=1)(deferred("用户@example.net")).decode()
        assert "用户@example.net" in line


def test_json_keeps_hostile_words_exactly() -> None:
    encode = make_format("json", hostname="", pid=0)
    text = "a\x7f\u009b\u2028\r\n\x00é"
    assert json.loads(encode(hostile(text)[0]))["sender"] == text


def test_lines_for_people_and_tools_are_bounded() -> None:
    for name in ("postfix", "text"):
        line = make_format(name, hostname="h", pid=1)(hostile("x" * 100_000)[2])
        assert all(len(part) < LINE_LIMIT + 200 for part in line.split(b"\n"))
