"""Dialogs as text: each file is run against the session in one piece, octet by octet, and over a socket.

Lines: `C: text` is sent with CRLF, `C= text` with Python's escapes and nothing added; `S: line` is the
next line the server must write, with `*` for anything; `M: text` must be in the accepted messages, in
order; `@ name = value` sets a condition; `R: line` is one of the configuration, for its rules.
Everything the server writes must be expected.
"""

import asyncio
import codecs
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from postroad.listener.settings import LimitsSettings, ListenerSettings
from postroad.policy.stages import Stages
from tests.support.clock import ManualClock
from tests.support.conversation import Desk, converse
from tests.support.limiting import limiting
from tests.support.ruling import config_of, stages_of

FILES = sorted(Path(__file__).parent.glob("*.smtp"))


def rated(desk: Desk, rates: list[tuple[str, ...]]) -> Stages:
    """The policies with limits, each a count, whose account it is, and how much."""
    wanted = [
        {"name": f"r{at}", "count": count, "per": per, "limits": [limit]}
        for at, (count, per, limit) in enumerate(rates)
    ]
    return limiting(desk.control, wanted, desk.records.append, ManualClock()).stages_of("test")


class Script:
    """One dialog file."""

    def __init__(self, path: Path) -> None:
        self.sent: list[bytes] = []
        self.expected: list[str] = []
        self.messages: list[str] = []
        conditions: dict[str, str] = {}
        rules: list[str] = []
        for line in path.read_text(encoding="utf-8").splitlines():
            kind, text = line[:2], line[3:]
            if kind == "C:":
                self.sent.append(text.encode() + b"\r\n")
            elif kind == "C=":
                self.sent.append(codecs.escape_decode(text.encode())[0])
            elif kind == "S:":
                self.expected.append(text)
            elif kind == "R:":
                rules.append(text)
            elif kind == "M:":
                self.messages.append(text)
            elif kind == "@ ":
                name, _, value = line[2:].partition("=")
                conditions[name.strip()] = value.strip()
            else:
                assert not line or line.startswith("#"), f"{path.name}: {line!r}"
        self.client = conditions.pop("client", "friend")
        self.normalise = conditions.pop("newlines", "strict") == "normalise"
        self.xclient = conditions.pop("xclient", "").split()
        self.domains = conditions.pop("relay_domains", "").split()
        self.rules = config_of("\n".join(rules)) if rules else None
        self.room = conditions.pop("disk", "free") == "free"
        self.rates = [tuple(rate.split(":")) for rate in conditions.pop("rates", "").split()]  # count, per, limit
        self.limits = {name: int(value) for name, value in conditions.items()}

    def desk(self) -> Desk:
        defaults: dict[str, Any] = LimitsSettings().model_dump()
        limits = LimitsSettings.model_construct(**(defaults | self.limits))
        networks = ["127.0.0.0/8"] if self.client == "friend" else []
        stages = stages_of(self.rules) if self.rules is not None else None
        desk = Desk(relay_domains=self.domains, relay_networks=networks, limits=limits, stages=stages)
        desk.spool.room = self.room
        if self.rates:
            desk.stages = rated(desk, self.rates)
        return desk

    def settings(self) -> ListenerSettings:
        settings = {"bind": ["127.0.0.1:0"], "newlines": "normalise" if self.normalise else "strict"}
        return ListenerSettings.model_validate(settings | {"xclient": self.xclient})

    def check(self, written: bytes, desk: Desk) -> None:
        lines = written.decode().split("\r\n")
        assert lines.pop() == ""
        for place, want in enumerate(self.expected):
            got = lines[place] if place < len(lines) else "(nothing)"
            assert fnmatchcase(got, want.replace("[", "[[]")), f"line {place + 1}: wanted {want!r}, got {got!r}"
        assert len(lines) == len(self.expected), f"unexpected: {lines[len(self.expected) :]}"
        rest = "".join(envelope.prefix + content.decode("latin-1") for envelope, content in desk.spool.messages)
        for want in self.messages:
            text = codecs.decode(want, "unicode_escape")
            assert text in rest, f"{text!r} is not in {rest!r}"
            rest = rest.partition(text)[2]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_at_once(path: Path) -> None:
    script = Script(path)
    desk = script.desk()
    script.check(converse(desk, script.sent, settings=script.settings()), desk)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_octet_by_octet(path: Path) -> None:
    script = Script(path)
    desk = script.desk()
    pieces = [bytes([octet]) for octet in b"".join(script.sent)]
    script.check(converse(desk, pieces, settings=script.settings()), desk)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_over_a_socket(path: Path) -> None:
    script = Script(path)
    desk = script.desk()
    listeners = desk.listeners()
    bound = await listeners.bind({"test": script.settings()})
    await listeners.start()
    port = int(bound[0].rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"".join(script.sent))
    writer.write_eof()
    async with asyncio.timeout(20):
        written = await reader.read()
    writer.close()
    await writer.wait_closed()
    await listeners.drain(5)
    script.check(written, desk)
