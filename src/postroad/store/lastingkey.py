"""A random key in a file of the server's own, made when it is needed first, the same for all its processes and starts.

Only its owner can read it. Whoever comes second takes what is there. OSError as the kernel has it.
"""

import os
import secrets
from pathlib import Path
from typing import Final

OCTETS: Final = 32


def lasting_key(path: Path) -> bytes:
    """The key in the file; it is made when it is not there, or is no key."""
    found = _read(path)
    if len(found) == OCTETS:
        return found
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    mine = path.with_name(f"{path.name}.{os.getpid()}.new")
    mine.unlink(missing_ok=True)
    with os.fdopen(os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(OCTETS))
        file.flush()
        os.fsync(file.fileno())
    try:
        if found:
            mine.replace(path)
        else:
            os.link(mine, path)  # not over one that another process made meanwhile
    except FileExistsError:
        pass
    finally:
        mine.unlink(missing_ok=True)
    return _read(path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
