"""A file that is looked into while we run: its text, and the stamp that tells whether it has changed.

The stamp is what the file system says without reading: a file is read again when its stamp is another and has
stayed the same for one look, so that one that is being written is let alone until it is complete.
"""

from pathlib import Path
from typing import Final

from msgspec import Struct

from postroad.model.errors import TableError

SIZE_LIMIT: Final = 256 << 20  # octets of one file


class Stamp(Struct, frozen=True, gc=False):
    """What tells one version of a file from another."""

    inode: int
    size: int
    written: int
    changed: int


class TableFileError(TableError):
    """The file cannot be read; `line` is where, or 0 for all of it."""

    def __init__(self, text: str, line: int = 0) -> None:
        """Say what is wrong."""
        super().__init__(text)
        self.line = line


def stamp_of(path: Path) -> Stamp | None:
    """The stamp of `path`; None when it cannot be seen."""
    try:
        found = path.stat()
    except OSError:
        return None
    return Stamp(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def text_of(path: Path) -> str:
    """The whole text of `path`; TableFileError says why not."""
    try:
        with path.open("rb") as file:
            octets = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise TableFileError(f"cannot be read: {error.strerror}") from None
    if len(octets) > SIZE_LIMIT:
        raise TableFileError(f"is larger than {SIZE_LIMIT >> 20} MiB")
    try:
        return octets.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise TableFileError("is not UTF-8 text", octets.count(b"\n", 0, error.start) + 1) from None
