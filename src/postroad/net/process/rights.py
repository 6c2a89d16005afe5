"""What this process is to the kernel: its user and its limit of open files.

Ports below 1024 are bound as root, then root is given up for good, groups first. Nothing here is undone.
"""

import os
import pwd
import resource
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


def become_user(user: str) -> None:
    """Become `user` for good when we are root; ConfigError for an unknown user."""
    if os.geteuid() == 0:
        entry = _entry(user)
        os.initgroups(user, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)


def can_read(user: str, file: Path) -> bool:
    """True when `user` may read `file`, as modes of files and folders have it; also when there is no such user or file.

    What is not there is told elsewhere.
    """
    try:
        entry = _entry(user)
        groups = os.getgrouplist(user, entry.pw_gid)
        real = file.resolve(strict=True)
        wanted = [(real, 0o4), *((folder, 0o1) for folder in real.parents)]
        return all(_allows(path.stat(), bit, entry.pw_uid, groups) for path, bit in wanted)
    except (OSError, ConfigError):
        return True


def _allows(found: os.stat_result, bit: int, user: int, groups: list[int]) -> bool:
    if user == 0:
        return True
    shift = 6 if found.st_uid == user else 3 if found.st_gid in groups else 0
    return bool(found.st_mode & bit << shift)


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
