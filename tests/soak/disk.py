"""A small disk of its own for the relay, which can be filled to the last octet and emptied again.

An ext4 image, so that a sync is one; a tmpfs where there are no loop devices. Both need root.
"""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

MEMORY = 768 << 20  # octets at most, where the disk is in memory


@contextlib.contextmanager
def small_disk(parent: Path, size: int) -> Iterator[tuple[Path, str]]:
    """A mounted folder below `parent` with `size` octets, and what it is; RuntimeError when it cannot be mounted."""
    folder = parent / "disk"
    folder.mkdir()
    image = parent / "disk.img"
    with image.open("wb") as out:
        out.truncate(size)
    made = _run("mkfs.ext4", "-q", "-m", "0", "-F", str(image))
    if made == "" and _run("mount", "-o", "loop", str(image), str(folder)) == "":
        kind = "ext4 in a file"
    else:
        why = _run("mount", "-t", "tmpfs", "-o", f"size={min(size, MEMORY)}", "postroad-soak", str(folder))
        if why:
            raise RuntimeError(f"no small disk can be mounted (root is needed): {why}")
        kind = "tmpfs"
    try:
        yield folder, kind
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=60)
        image.unlink()


def fill(folder: Path) -> None:
    """Take every octet that is left."""
    descriptor = os.open(folder / "ballast", os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        taken, step = 0, 1 << 30
        while step:
            try:
                os.posix_fallocate(descriptor, taken, step)
                taken += step
            except OSError:
                step //= 2
    finally:
        os.close(descriptor)


def empty(folder: Path) -> None:
    """Give it back."""
    (folder / "ballast").unlink(missing_ok=True)


def octets_below(folder: Path) -> int:
    """What the files below `folder` take of their disk."""
    octets = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # gone meanwhile
            octets += path.lstat().st_blocks * 512
    return octets


def _run(*command: str) -> str:
    """What went wrong; "" when nothing did."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except OSError as error:
        return str(error)
    return (done.stderr.strip() or f"exit status {done.returncode}") if done.returncode else ""
