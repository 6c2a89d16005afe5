"""The `capture:` target: whole files with safe names, or nothing."""

import stat
from pathlib import Path

from postroad.model.outcome import Deferred, Delivered, Scope
from postroad.model.route import CAPTURE, Target
from tests.support.delivering import CONTENT, ID, PREFIX, Large, Sender, make_works, to

TARGET = Target(CAPTURE, "capture", "", 0)
NAME = f"20251124T000000Z-{ID}.eml"


async def test_captured(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "captured"
    async with Sender(folder) as sender:
        (one, two) = await sender.send(to(TARGET), make_works("a@example.net", "b@example.net"))
    assert isinstance(one, Delivered)
    assert one == two
    assert str(one.reply) == f"250 2.0.0 captured as {NAME}"
    assert [path.name for path in folder.iterdir()] == [NAME]
    head = "Return-Path: <alice@example.org>\r\nX-Envelope-To: a@example.net,\r\n\tb@example.net\r\n"
    assert (folder / NAME).read_bytes() == (head + PREFIX).encode() + CONTENT
    assert stat.S_IMODE((folder / NAME).stat().st_mode) == 0o600


async def test_large_content_and_null_sender(tmp_path: Path) -> None:
    content = CONTENT * 10_000
    async with Sender(tmp_path) as sender:
        (outcome,) = await sender.send(to(TARGET), make_works(sender="", content=Large(content)))
    assert type(outcome) is Delivered
    octets = (tmp_path / NAME).read_bytes()
    assert octets.startswith(b"Return-Path: <>\r\n")
    assert octets.endswith(PREFIX.encode() + content)


async def test_repeated_attempt_replaces_its_file_and_parts_are_apart(tmp_path: Path) -> None:
    works = make_works("a@example.net", "b@example.net")
    async with Sender(tmp_path) as sender:
        for _ in range(2):
            await sender.send(to(TARGET), works)
            await sender.send(to(TARGET), works[1:])
    assert sorted(path.name for path in tmp_path.iterdir()) == [NAME.replace(".eml", "-1.eml"), NAME]


async def test_disk_that_does_not_take_it_is_a_deferral(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    async with Sender(tmp_path / "file" / "captured") as sender:
        (outcome,) = await sender.send(to(TARGET))
        (large,) = await sender.send(to(TARGET), make_works(content=Large(CONTENT)))
    for deferred in (outcome, large):
        assert isinstance(deferred, Deferred)
        assert deferred.scope is Scope.HOST
        assert "cannot write" in deferred.reply.text


async def test_unreadable_content_leaves_nothing(tmp_path: Path) -> None:
    async with Sender(tmp_path) as sender:
        (outcome,) = await sender.send(to(TARGET), make_works(content=Large(CONTENT * 10_000, broken=300_000)))
    assert isinstance(outcome, Deferred)
    assert outcome.scope is Scope.MESSAGE
    assert list(tmp_path.iterdir()) == []
