"""Drops: mail that programs of this machine leave in a folder, for the server to take in when it runs.

The folder `new` can be written but not read by all (mode 3733): a drop gets the folder's group and is closed to
everybody else. Nothing in it is trusted: only regular files with one name that are whole (length and checksum at the
end) become mail; what is not is moved to `aside`, where it stays its owner's. A drop that is being taken in lies in
`taken` under its queue id, so that after a kill the server can tell whether the spool has it already.

The envelope is written as arguments of MAIL and RCPT, one a line, and read by the same parser (RFC 5321 4.1.1).
"""

import contextlib
import os
import secrets
import stat
import zlib
from collections.abc import Iterable, Iterator
from heapq import nsmallest
from pathlib import Path
from typing import Final

from msgspec import Struct

from postroad.model.envelope import BODY_7BIT, NOTIFY_DELAY, NOTIFY_FAILURE, NOTIFY_NEVER, NOTIFY_SUCCESS
from postroad.model.errors import DropError
from postroad.model.queueid import is_queue_id
from postroad.smtp.command import RefusalError, parse_mail, parse_rcpt
from postroad.smtp.events import MailFrom, RcptTo
from postroad.store.dropbell import make_bell, ring

MAGIC: Final = b"postroad-drop 1\n"
TRAILER: Final = 31  # octets of "\nend LENGTH CHECKSUM\n"
HEAD_LIMIT: Final = 4 << 20  # octets of an envelope: some 40,000 recipients
PIECE: Final = 256 << 10
UNFINISHED: Final = "new-"  # what a writer that is still at work calls its file
FINISHED: Final = "drop-"
MOST: Final = 1000  # names looked at in one go
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_STALE: Final = 86400  # seconds after which a file is no writer's any more
_NOTIFY: Final = (
    (NOTIFY_NEVER, "NEVER"),
    (NOTIFY_SUCCESS, "SUCCESS"),
    (NOTIFY_FAILURE, "FAILURE"),
    (NOTIFY_DELAY, "DELAY"),
)


class Letter(Struct, frozen=True):
    """The envelope of a drop."""

    mail: MailFrom
    recipients: tuple[RcptTo, ...]


class DropWriter:
    """Writes one drop into `folder`, which is the `new` of a `DropFolder`; OSError as the kernel has it."""

    def __init__(self, folder: Path, letter: Letter) -> None:
        """Begin the file; until `commit` it is nobody's mail."""
        self._folder = folder
        self._secret = secrets.token_hex(16)
        self._path = folder / f"{UNFINISHED}{self._secret}"
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._length = 0
        self._sum = 0
        try:
            head = head_of(letter)
            self._sum = zlib.crc32(head)
            self._put(head)
        except BaseException:
            self.abandon()
            raise

    def write(self, piece: bytes) -> None:
        """More content."""
        self._put(piece)
        self._length += len(piece)
        self._sum = zlib.crc32(piece, self._sum)

    def commit(self) -> str:
        """Make the drop whole and durable; its name. From here on it is the server's to deliver."""
        self._put(trailer_of(self._length, self._sum))
        if os.fstat(self._fd).st_gid == self._folder.stat().st_gid:
            os.fchmod(self._fd, 0o640)  # without the folder's group only its owner, or root, may read it
        os.fsync(self._fd)
        name = f"{FINISHED}{self._secret}"
        os.rename(self._path, self._folder / name)  # noqa: PTH104  within one folder
        # Who cannot read the folder cannot sync it; the file's own sync takes its new name along (ext4, XFS, btrfs).
        os.fsync(self._fd)
        os.close(self._fd)
        ring(self._folder.parent)
        return name

    def abandon(self) -> None:
        """Leave nothing behind."""
        os.close(self._fd)
        self._path.unlink(missing_ok=True)

    def _put(self, octets: bytes) -> None:
        while octets:
            octets = octets[os.write(self._fd, octets) :]


def head_of(letter: Letter) -> bytes:
    """The beginning of a drop, up to its content."""
    mail = letter.mail
    body = f" BODY={mail.body}" if mail.body != BODY_7BIT else ""
    utf8 = " SMTPUTF8" if mail.smtputf8 else ""
    ret = f" RET={mail.ret}" if mail.ret else ""
    envid = f" ENVID={mail.envid}" if mail.envid else ""
    lines = [f"FROM:<{mail.path.text}>{body}{utf8}{ret}{envid}"]
    for rcpt in letter.recipients:
        words = ",".join(word for bit, word in _NOTIFY if rcpt.notify & bit)
        notify = f" NOTIFY={words}" if words else ""
        orcpt = f" ORCPT={rcpt.orcpt}" if rcpt.orcpt else ""
        lines.append(f"TO:<{rcpt.path.text}>{notify}{orcpt}")
    return MAGIC + "\n".join(lines).encode() + b"\n\n"


def trailer_of(length: int, checksum: int) -> bytes:
    """The end of a drop with so many octets of content, and the checksum of everything before."""
    return b"\nend %016x %08x\n" % (length, checksum)


class Drop:
    """A drop that was opened and has the form of one; its checksum is known when all `pieces` were read."""

    def __init__(self, fd: int) -> None:
        """Read the envelope; DropError when this is no drop. `fd` is closed by `close`."""
        self._fd = fd
        facts = os.fstat(fd)
        self.uid = facts.st_uid
        if not stat.S_ISREG(facts.st_mode):
            raise DropError("it is no regular file")
        if facts.st_nlink != 1:
            raise DropError("it has a second name, so nobody knows whose it is")
        head = os.pread(fd, min(HEAD_LIMIT, facts.st_size), 0)
        if not head.startswith(MAGIC):
            raise DropError("it does not begin as a drop does")
        end = head.find(b"\n\n", len(MAGIC))
        if end < 0:
            raise DropError("its envelope has no end")
        self.letter = _letter(head[len(MAGIC) : end].split(b"\n"))
        self._start = end + 2
        self.length = facts.st_size - TRAILER - self._start
        if self.length < 0:
            raise DropError("it is not whole")
        self._trailer = os.pread(fd, TRAILER, facts.st_size - TRAILER)
        self._sum = zlib.crc32(head[: self._start])

    def pieces(self) -> Iterator[bytes]:
        """The content; DropError at its end when it is not what was written."""
        done, checksum = 0, self._sum
        while done < self.length:
            piece = os.pread(self._fd, min(PIECE, self.length - done), self._start + done)
            if not piece:
                raise DropError("it became shorter while it was read")
            done += len(piece)
            checksum = zlib.crc32(piece, checksum)
            yield piece
        if self._trailer != trailer_of(done, checksum):
            raise DropError("it is not whole, or its checksum is wrong")

    def close(self) -> None:
        """Give the file back."""
        os.close(self._fd)


def _letter(lines: list[bytes]) -> Letter:
    try:
        mail = parse_mail(lines[0])
        recipients = tuple(parse_rcpt(line, utf8=mail.smtputf8) for line in lines[1:])
    except RefusalError as error:
        raise DropError(f"its envelope cannot be read: {error}") from error
    if not recipients:
        raise DropError("it has no recipient")
    return Letter(mail, recipients)


class DropFolder:
    """The server's side of the folder. Calls block; OSError as the kernel has it."""

    def __init__(self, path: Path) -> None:
        """Nothing is touched yet."""
        self.path = path
        self.new, self._taken, self._aside = path / "new", path / "taken", path / "aside"
        self._hopeless: set[str] = set()  # what can neither be read nor moved

    def prepare(self, uid: int = -1, gid: int = -1) -> None:
        """Make the folders and the bell and, as root, give them to the server's user; no link there is followed."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        top = os.open(self.path, _FOLDER)
        try:
            for name, mode in (("taken", 0o700), ("aside", 0o700), ("new", 0o3733)):
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, 0o700, dir_fd=top)
                _own(os.open(name, _FOLDER, dir_fd=top), uid, gid, mode)
            make_bell(top, uid, gid)
        finally:
            _own(top, uid, gid, 0o711)

    def changed(self) -> float:
        """When a name in `new` last came or went, in seconds since 1970."""
        return self.new.stat().st_mtime

    def arrivals(self, now: float) -> list[str]:
        """Names of what was dropped, oldest first, at most `MOST`; what writers left a day ago goes."""
        found: list[tuple[float, str]] = []
        with os.scandir(self.new) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    at = entry.stat(follow_symlinks=False).st_mtime
                    if entry.name in self._hopeless:
                        continue
                    if not entry.name.startswith(UNFINISHED):
                        found.append((at, entry.name))
                    elif now - at > _STALE and entry.is_file(follow_symlinks=False):
                        os.unlink(entry.path)  # noqa: PTH108
        return [name for _, name in nsmallest(MOST, found)]

    def take(self, name: str, queue_id: str) -> None:
        """Move a drop to `taken`; DropError when it is no file of one name, which then was set aside."""
        facts = (self.new / name).lstat()
        if not stat.S_ISREG(facts.st_mode):
            try:
                self._move(self.new / name, queue_id)
            except OSError:  # a folder that is closed to us
                if len(self._hopeless) < MOST:
                    self._hopeless.add(name)
                raise DropError("it is no regular file, and cannot even be moved") from None
            raise DropError("it is no regular file")
        os.rename(self.new / name, self._taken / queue_id)  # noqa: PTH104
        self._sync(self._taken)

    def taken(self) -> list[str]:
        """Queue ids of the drops that were being taken in when the server ended."""
        return sorted(name for name in os.listdir(self._taken) if is_queue_id(name))  # noqa: PTH208

    def open(self, queue_id: str) -> Drop:
        """A drop that was taken; DropError when it is not what a drop has to be."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            fd = os.open(self._taken / queue_id, flags)
        except OSError as error:
            raise DropError(f"it cannot be read: {error.strerror}") from error
        try:
            return Drop(fd)
        except DropError:
            os.close(fd)
            raise

    def remove(self, queue_id: str) -> None:
        """The spool has it."""
        (self._taken / queue_id).unlink(missing_ok=True)

    def set_aside(self, queue_id: str) -> str:
        """Move a taken drop to `aside`; where it is now."""
        return self._move(self._taken / queue_id, queue_id)

    def found(self, name: str, queue_id: str) -> tuple[str, int]:
        """Where a drop is now, and the user id of who dropped it; ("", -1) when it is gone."""
        for path in (self._aside / queue_id, self._taken / queue_id, self.new / name):
            with contextlib.suppress(OSError):
                return str(path), path.lstat().st_uid
        return "", -1

    def _move(self, path: Path, name: str) -> str:
        aside = self._aside / name
        os.rename(path, aside)  # noqa: PTH104
        return str(aside)

    @staticmethod
    def _sync(folder: Path) -> None:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _own(fd: int, uid: int, gid: int, mode: int) -> None:
    """Give an open folder its owner and mode, and close it."""
    try:
        if uid >= 0:
            os.fchown(fd, uid, gid)
        os.fchmod(fd, mode)
    finally:
        os.close(fd)


def write_drop(folder: Path, letter: Letter, content: Iterable[bytes]) -> str:
    """Write a whole drop; its name."""
    writer = DropWriter(folder, letter)
    try:
        for piece in content:
            writer.write(piece)
        return writer.commit()
    except BaseException:
        with contextlib.suppress(OSError):
            writer.abandon()
        raise
