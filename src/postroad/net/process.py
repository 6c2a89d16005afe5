"""What this process is to the kernel: its user and its limit of open files.

Ports below 1024 are bound as root, then root is given up for good, groups first. Nothing here is undone.
"""

import os
import pwd
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

from postroad.model.errors import ConfigError


def give_to_user(user: str, folder: Path, apart: Path | None = None) -> None:
    """Make `folder` (created if missing) belong to `user` when we are root; ConfigError for an unknown user.

    What is in `apart`, where others may write, stays whose it is.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.geteuid() == 0:
        entry = _entry(user)
        for path in _below(folder, apart):
            os.chown(path, entry.pw_uid, entry.pw_gid, follow_symlinks=False)


def ids_of(user: str) -> tuple[int, int]:
    """The user's id and that of its group; ConfigError for an unknown user."""
    entry = _entry(user)
    return entry.pw_uid, entry.pw_gid


def _below(folder: Path, apart: Path | None) -> Iterator[Path]:
    """`folder` and everything in it; no symbolic link is followed."""
    yield folder
    for where, folders, files in os.walk(folder):
        if apart is not None:
            folders[:] = [name for name in folders if Path(where, name) != apart]
        yield from (Path(where, name) for name in (*folders, *files))


def can_read(user: str, file: Path) -> bool:
    """True when `user` has the right to read `file`, by its mode; also when there is no such user or file."""
    try:
        entry, found = _entry(user), file.stat()
    except (ConfigError, OSError):
        return True  # that is told elsewhere
    if found.st_uid == entry.pw_uid:
        return bool(found.st_mode & stat.S_IRUSR)
    if found.st_gid in os.getgrouplist(user, entry.pw_gid):
        return bool(found.st_mode & stat.S_IRGRP)
    return bool(found.st_mode & stat.S_IROTH)


def become_user(user: str) -> None:
    """Become `user` for good when we are root; ConfigError for an unknown user."""
    if os.geteuid() == 0:
        entry = _entry(user)
        os.initgroups(user, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)


def is_root() -> bool:
    """True while we have root's rights."""
    return os.geteuid() == 0


def raise_file_limit() -> int:
    """Allow as many open files as the hard limit permits; the new limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _entry(user: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(user)
    except KeyError:
        raise ConfigError([f"process.user: there is no user {user!r} on this machine"]) from None
