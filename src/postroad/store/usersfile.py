"""The users file on disk: read only when nobody else can, replaced in one step, by one writer at a time.

Invariant: a reader sees the old file or the new one, whole. Whoever writes holds a lock on the folder, since a lock on
the file would be lost with the file that it replaces.
"""

import os
import stat
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from postroad.store.opening import alone
from postroad.store.tablefile import TableFileError, text_of

OPEN_TO_OTHERS: Final = stat.S_IRWXO | stat.S_IWGRP  # others, and a group that may write
MODE: Final = 0o640


def read_users(path: Path) -> str:
    """The text of the file; TableFileError when it cannot be read, or when too many people can."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise TableFileError("is not there; `postroad user add NAME` makes it") from None
    except OSError as error:
        raise TableFileError(f"cannot be read: {error.strerror}") from None
    if mode & OPEN_TO_OTHERS:
        shown = stat.filemode(mode)
        raise TableFileError(f"has mode {shown}, so that others can read or change it; chmod 640 {path}")
    return text_of(path)


def locked(path: Path) -> AbstractContextManager[None]:
    """Nobody else changes the file meanwhile."""
    return alone(path.parent)


def write_users(path: Path, text: str, *, group: int = -1) -> None:
    """Replace the file, durably, with the owner and mode that it has; a new one belongs to `group`."""
    try:
        old = path.stat()
    except FileNotFoundError:
        owner, mode = -1, MODE
    else:
        owner, group, mode = old.st_uid, old.st_gid, stat.S_IMODE(old.st_mode) & ~OPEN_TO_OTHERS
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        if os.geteuid() == 0:
            os.fchown(file.fileno(), owner, group)
        os.fchmod(file.fileno(), mode)
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
