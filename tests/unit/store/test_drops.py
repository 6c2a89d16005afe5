"""The folder of drops: what a writer leaves comes back whole or not at all, and hostile files stay apart."""

import os
import stat
from pathlib import Path

import pytest

from postroad.model.address import NULL_PATH, parse_mailbox
from postroad.model.errors import DropError
from postroad.smtp.events import MailFrom, RcptTo
from postroad.store.drops import Drop, DropFolder, DropWriter, Letter, write_drop

ID = "3Pt2mN2VXxznj"
CONTENT = b"Subject: x\r\n\r\nhello\r\n"
LETTER = Letter(
    MailFrom(parse_mailbox("ann@example.org"), body="8BITMIME", ret="HDRS", envid="e+2B1"),
    (RcptTo(parse_mailbox("bob@example.net"), 6, "rfc822;b@x"), RcptTo(parse_mailbox('"c d"@example.net'), 1)),
)
NOW = 2e9


@pytest.fixture
def folder(tmp_path: Path) -> DropFolder:
    made = DropFolder(tmp_path / "drops")
    made.prepare()
    return made


def taken(folder: DropFolder, octets: bytes) -> Drop:
    """A taken drop with these octets, opened."""
    (folder.path / "taken" / ID).write_bytes(octets)
    return folder.open(ID)


def octets_of(folder: DropFolder) -> bytes:
    """A sound drop."""
    name = write_drop(folder.new, LETTER, [CONTENT])
    octets = (folder.new / name).read_bytes()
    (folder.new / name).unlink()
    return octets


@pytest.mark.parametrize(
    "letter",
    [
        LETTER,
        Letter(MailFrom(NULL_PATH), (RcptTo(parse_mailbox("bob@example.net")),)),
        Letter(MailFrom(parse_mailbox("ä@example.org"), smtputf8=True), (RcptTo(parse_mailbox("ö@example.net")),)),
    ],
)
@pytest.mark.parametrize("content", [b"", CONTENT, b"x" * 300_000 + b"\r\n", b"\nend 0\n\n"])
def test_what_is_dropped_comes_back(folder: DropFolder, letter: Letter, content: bytes) -> None:
    name = write_drop(folder.new, letter, [content[:7], content[7:]])
    assert folder.arrivals(NOW) == [name]
    folder.take(name, ID)
    assert (folder.arrivals(NOW), folder.taken()) == ([], [ID])
    drop = folder.open(ID)
    assert (drop.letter, drop.uid, b"".join(drop.pieces())) == (letter, os.getuid(), content)
    drop.close()
    folder.remove(ID)
    assert folder.taken() == []


def test_the_folder_can_be_written_and_not_read_by_others(folder: DropFolder) -> None:
    assert stat.S_IMODE(folder.new.stat().st_mode) == 0o3733
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o711
    for name in ("taken", "aside"):
        assert stat.S_IMODE((folder.path / name).stat().st_mode) == 0o700
    name = write_drop(folder.new, LETTER, [CONTENT])
    assert stat.S_IMODE((folder.new / name).stat().st_mode) == 0o640


@pytest.mark.parametrize("name", ["", "new", "taken"])
def test_no_link_in_the_place_of_a_folder_is_followed(tmp_path: Path, name: str) -> None:
    """Else the server's user could have root open any folder to all."""
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    top = tmp_path / "drops"
    if name:
        top.mkdir()
    (top / name if name else top).symlink_to(target)
    with pytest.raises(OSError, match="drops|new|taken|symbolic|directory"):
        DropFolder(top).prepare()
    assert stat.S_IMODE(target.stat().st_mode) == 0o700


def test_unfinished_drops_are_nobodys_mail(folder: DropFolder) -> None:
    writer = DropWriter(folder.new, LETTER)
    writer.write(CONTENT)
    (unfinished,) = folder.new.iterdir()
    at = unfinished.stat().st_mtime
    assert folder.arrivals(at + 3600) == []
    assert unfinished.exists()
    assert folder.arrivals(at + 90_000) == []
    assert not unfinished.exists()
    writer.abandon()


def test_a_failing_writer_leaves_nothing(folder: DropFolder) -> None:
    def broken() -> "list[bytes]":
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_drop(folder.new, LETTER, (piece for _ in range(1) for piece in broken()))
    assert list(folder.new.iterdir()) == []


def test_every_cut_is_found(folder: DropFolder) -> None:
    octets = octets_of(folder)
    for length in range(len(octets)):
        with pytest.raises(DropError):
            list(taken(folder, octets[:length]).pieces())


def test_every_flipped_octet_is_found(folder: DropFolder) -> None:
    octets = octets_of(folder)
    for at in range(len(octets)):
        changed = bytearray(octets)
        changed[at] ^= 1
        with pytest.raises(DropError):
            list(taken(folder, bytes(changed)).pieces())


@pytest.mark.parametrize(
    "head",
    [
        b"FROM:<a@x.example>\n",
        b"TO:<a@x.example>\n",
        b"FROM:<a@x.example>\nTO:<>\n",
        b"FROM:<a@x.example>\nTO:<b@y.example>\nFROM:<c@z.example>\n",
        b"FROM:<a@x.example\r\n>\nTO:<b@y.example>\n",
        b"FROM:<a@x.example> BODY=9BIT\nTO:<b@y.example>\n",
        b"FROM:<\xff@x.example>\nTO:<b@y.example>\n",
        b"\n",
    ],
)
def test_odd_envelopes_are_refused(folder: DropFolder, head: bytes) -> None:
    with pytest.raises(DropError, match="envelope|recipient|whole"):
        taken(folder, b"postroad-drop 1\n" + head + b"\n" + b"\nend %016x %08x\n" % (0, 0))


def test_only_regular_files_with_one_name_are_mail(folder: DropFolder, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    (folder.new / "drop-link").symlink_to(secret)
    os.mkfifo(folder.new / "drop-fifo")
    (folder.new / "drop-folder").mkdir()
    for number, name in enumerate(sorted(folder.arrivals(NOW))):
        with pytest.raises(DropError, match="regular"):
            folder.take(name, f"{number:013}")
    assert folder.arrivals(NOW) == []
    assert len(list((folder.path / "aside").iterdir())) == 3
    name = write_drop(folder.new, LETTER, [CONTENT])
    (tmp_path / "second").hardlink_to(folder.new / name)
    folder.take(name, ID)
    with pytest.raises(DropError, match="second name"):
        folder.open(ID)


def test_a_link_in_the_place_of_a_taken_drop_is_not_followed(folder: DropFolder, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(octets_of(folder))
    (folder.path / "taken" / ID).symlink_to(target)
    with pytest.raises(DropError, match="cannot be read"):
        folder.open(ID)


def test_set_aside_tells_where_and_whose(folder: DropFolder) -> None:
    name = write_drop(folder.new, LETTER, [CONTENT])
    assert folder.found(name, ID) == (str(folder.new / name), os.getuid())
    folder.take(name, ID)
    place = folder.set_aside(ID)
    assert folder.found(name, ID) == (place, os.getuid())
    assert Path(place).read_bytes().startswith(b"postroad-drop 1\n")
