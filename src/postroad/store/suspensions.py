"""The file of suspensions in `data_dir`: small, written whole, replaced in one step.

A file that cannot be read stops nobody's mail: it is told as an error to whoever asks, and mail flows.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from postroad.model.errors import SpoolError
from postroad.model.suspension import Suspension
from postroad.store.whole import write_whole


def load(path: Path) -> list[Suspension]:
    """What the file holds; SpoolError when it makes no sense."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Suspension])
    except FileNotFoundError:
        return []
    except (OSError, msgspec.MsgspecError) as error:
        raise SpoolError(f"the suspensions in {path} cannot be read: {error}") from error


def save(path: Path, suspensions: Sequence[Suspension]) -> None:
    """Replace the file, durably; SpoolError when the disk refuses."""
    try:
        write_whole(path, msgspec.json.encode(suspensions))
    except OSError as error:
        raise SpoolError(f"the suspensions cannot be written to {path}: {error.strerror}") from error
