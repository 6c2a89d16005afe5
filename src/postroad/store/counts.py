"""The file in `data_dir` of what is used up of the long limits of `[[rates]]`: it outlives a restart.

It is written every so often, so a kill loses what was counted since; a file that cannot be read stops nobody's mail.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from postroad.model.counts import Kept
from postroad.model.errors import SpoolError
from postroad.store.whole import write_whole


def load(path: Path) -> list[Kept]:
    """What the file holds; SpoolError when it makes no sense."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Kept])
    except FileNotFoundError:
        return []
    except (OSError, msgspec.MsgspecError) as error:
        raise SpoolError(f"what was used up of rates cannot be read from {path}: {error}") from error


def save(path: Path, accounts: Sequence[Kept]) -> None:
    """Replace the file, durably; SpoolError when the disk refuses."""
    try:
        write_whole(path, msgspec.json.encode(accounts))
    except OSError as error:
        raise SpoolError(f"what is used up of rates cannot be written to {path}: {error.strerror}") from error
