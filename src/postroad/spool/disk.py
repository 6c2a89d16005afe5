"""Every call by which the spool touches the file system, in one place.

The journal, drafts and recovery get a `Disk` as a parameter, so tests can let each call fail, stop
short or kill the process. Calls raise OSError as the kernel gives it; nothing is retried here.
Files are made with mode 0600, folders with 0700.
"""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

Buffer = bytes | memoryview

_FULL = (errno.ENOSPC, errno.EDQUOT)


class Disk:
    """The real file system."""

    def open(self, path: Path, flags: int) -> int:
        """A file descriptor; made with mode 0600 when `flags` has O_CREAT."""
        return os.open(path, flags | os.O_CLOEXEC, 0o600)

    def close(self, fd: int) -> None:
        """Give `fd` back."""
        os.close(fd)

    def pwritev(self, fd: int, buffers: Sequence[Buffer], offset: int) -> int:
        """Write at `offset`, at most IOV_MAX buffers; the octets written may be fewer than given."""
        return os.pwritev(fd, buffers, offset)

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        """At most `length` octets from `offset`."""
        return os.pread(fd, length, offset)

    def fdatasync(self, fd: int) -> None:
        """Wait until what was written, and the size, is on the medium."""
        os.fdatasync(fd)

    def truncate(self, fd: int, length: int) -> None:
        """Cut the file."""
        os.ftruncate(fd, length)

    def size(self, fd: int) -> int:
        """Octets in the file."""
        return os.fstat(fd).st_size

    def rename(self, old: Path, new: Path) -> None:
        """Give a file its final name."""
        os.rename(old, new)  # noqa: PTH104  one call, counted by tests

    def unlink(self, path: Path) -> None:
        """Remove a file; one that is gone already is no error."""
        path.unlink(missing_ok=True)

    def make_folder(self, path: Path) -> None:
        """Make `path` and what is missing above it, closed to others."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def sync_folder(self, path: Path) -> None:
        """Make names in `path` durable."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def reserve(self, path: Path, size: int) -> None:
        """Make a file of `size` octets that really takes that room."""
        fd = self.open(path, os.O_WRONLY | os.O_CREAT)
        try:
            os.posix_fallocate(fd, 0, size)
        finally:
            self.close(fd)

    def free(self, path: Path) -> int:
        """Octets that this user may still write on the file system of `path`."""
        found = os.statvfs(path)
        return found.f_bavail * found.f_frsize


def is_full(error: OSError) -> bool:
    """True when `error` says that there is no room: disk full, or quota used up."""
    return error.errno in _FULL


def write_all(disk: Disk, fd: int, buffers: Sequence[Buffer], offset: int) -> int:
    """Write all of `buffers` at `offset`, however many and however short the kernel stops; the octets written."""
    done = 0
    for start in range(0, len(buffers), _IOV_MAX):
        part = buffers[start : start + _IOV_MAX] if len(buffers) > _IOV_MAX else buffers
        want = sum(map(len, part))
        got = disk.pwritev(fd, part, offset + done)
        while got < want:
            more = disk.pwritev(fd, _rest(part, got), offset + done + got)
            if not more:
                raise OSError(errno.EIO, "the disk takes no more octets")
            got += more
        done += want
    return done


def _rest(buffers: Sequence[Buffer], skip: int) -> list[Buffer]:
    out: list[Buffer] = []
    for buffer in buffers:
        if skip >= len(buffer):
            skip -= len(buffer)
        else:
            out.append(memoryview(buffer)[skip:])
            skip = 0
    return out


_IOV_MAX = 1024  # Linux's UIO_MAXIOV, and what POSIX systems have in practice
