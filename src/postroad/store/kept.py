"""A file in `data_dir` of something that is kept for the next start: written whole, replaced in one step.

A file that is not there holds nothing. What the octets mean is the caller's affair.
"""

from pathlib import Path

from postroad.model.errors import SpoolError
from postroad.store.whole import write_whole


def load(path: Path) -> bytes:
    """What the file holds; SpoolError when it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise SpoolError(f"{path} cannot be read: {error.strerror}") from error


def save(path: Path, octets: bytes) -> None:
    """Replace the file, durably; SpoolError when the disk refuses."""
    try:
        write_whole(path, octets)
    except OSError as error:
        raise SpoolError(f"{path} cannot be written: {error.strerror}") from error
