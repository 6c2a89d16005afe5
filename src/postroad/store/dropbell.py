"""The bell beside the folder of drops: a FIFO by which whoever has dropped something wakes the server.

Everybody may ring, only the server hears, and what is written means nothing. The folder is looked into every so often
anyway: a bell that is missing, full, or that nobody hears costs that time, never mail. Nobody waits for anybody, and
nothing but a FIFO is ever written to.
"""

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

BELL: Final = "bell"
_MODE: Final = 0o622
_HEAR: Final = os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC  # also for writing: so it never ends
_RING: Final = os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_ALL: Final = 1 << 16


def make_bell(top: int, uid: int, gid: int) -> None:
    """Make the bell in the open folder `top`, and give it its owner and mode; OSError as the kernel has it."""
    with contextlib.suppress(FileExistsError):
        os.mkfifo(BELL, 0o600, dir_fd=top)
    fd = _opened(BELL, _HEAR, top)
    try:
        if uid >= 0:
            os.fchown(fd, uid, gid)
        os.fchmod(fd, _MODE)
    finally:
        os.close(fd)


def open_bell(folder: Path) -> int:
    """The server's end, which can be read when somebody has rung; OSError as the kernel has it."""
    return _opened(folder / BELL, _HEAR)


def hush(fd: int) -> None:
    """Take away what was written."""
    with contextlib.suppress(BlockingIOError):
        os.read(fd, _ALL)


def ring(folder: Path) -> None:
    """Wake the server, when it runs."""
    with contextlib.suppress(OSError):
        fd = _opened(folder / BELL, _RING)
        try:
            os.write(fd, b"\n")
        finally:
            os.close(fd)


def _opened(path: Path | str, flags: int, top: int | None = None) -> int:
    fd = os.open(path, flags, dir_fd=top)
    if stat.S_ISFIFO(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise FileExistsError(f"{path} is no FIFO")
