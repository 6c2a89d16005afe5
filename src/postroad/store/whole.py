"""A small file of the server's own that is written whole and replaced in one step: the old one or the new one is there.

Only its owner can read it. OSError as the kernel has it.
"""

import os
from pathlib import Path


def write_whole(path: Path, octets: bytes) -> None:
    """Replace the file, durably."""
    new = path.with_name(f"{path.name}.new")
    with new.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
