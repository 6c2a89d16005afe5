"""Is the machine fit: disk, file system, speed of syncs, clock, open files, rights.

Measured where the spool lies, for everything that is accepted is synced there first. Nothing stays behind of what is
written for the measurement.
"""

import os
import resource
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from postroad.doctor.around import Around
from postroad.doctor.finding import Finding, ok, problem, unknown, warning
from postroad.net.kernelclock import clock_state

DISK: Final = "disk"
CLOCK: Final = "clock"
LIMITS: Final = "limits"
SYNCS: Final = 20
SLOW_SYNC: Final = 0.05  # seconds
FILES_BESIDE: Final = 1000  # descriptors that are needed beside those of sessions, deliveries first of all
FORGETFUL: Final = frozenset({"tmpfs", "ramfs", "devtmpfs"})
SHAKY: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p"})
AHEAD: Final = 60.0  # seconds that a file may be from the future


async def check_machine(around: Around) -> AsyncIterator[Finding]:
    """Look at everything that one host has."""
    folder = around.config.data_dir
    there = next(part for part in (folder, *folder.parents) if part.exists())
    yield _room(around, there)
    yield _file_system(there)
    yield _speed(around, there)
    yield _rights(folder)
    yield _clock()
    yield _future(around, folder)
    yield _files(around)
    if not around.config.process.user and os.geteuid() == 0:
        yield warning(
            "rights",
            "the server runs as root",
            'name a user in process.user, such as "postroad": root is given up after the ports are bound',
        )


def size_text(octets: int) -> str:
    """About how much, in MiB or GiB."""
    return f"{octets / (1 << 30):.1f} GiB" if octets >= 1 << 30 else f"{octets / (1 << 20):.0f} MiB"


def _room(around: Around, folder: Path) -> Finding:
    found = os.statvfs(folder)
    free, floor = found.f_bavail * found.f_frsize, around.config.spool.free_space
    mend = f"make room where {folder} lies; when the disk is full see docs/howto/disk-full.md"
    if free < floor:
        return problem(
            DISK, f"{size_text(free)} free: below spool.free_space of {size_text(floor)}, new mail is deferred", mend
        )
    if free < 4 * floor:
        return warning(DISK, f"{size_text(free)} free: spool.free_space of {size_text(floor)} is near", mend)
    if found.f_files and found.f_favail < found.f_files // 50:
        return warning(DISK, f"{found.f_favail} of {found.f_files} inodes free", mend)
    return ok(DISK, f"{size_text(free)} free")


def _file_system(folder: Path) -> Finding:
    about = f"{DISK}: file system"
    kind = _kind_of(folder)
    if kind in FORGETFUL:
        mend = "set data_dir to a folder on a disk: everything that waits is lost with the next restart of the host"
        return problem(about, f"{folder} lies on {kind}, in memory", mend)
    if kind in SHAKY:
        return warning(
            about,
            f"{folder} lies on {kind}, over the network",
            "use a local disk: syncs over a network are slow, and some are none",
        )
    return ok(about, kind) if kind else unknown(about, "the kernel does not tell")


def _kind_of(folder: Path) -> str:
    """The type of file system that `folder` lies on (proc(5), mountinfo): the mount with the longest path above it."""
    best, kind = "", ""
    try:
        lines = Path("/proc/self/mountinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    path = str(folder.resolve())
    for line in lines:
        left, _, right = line.partition(" - ")
        words, more = left.split(), right.split()
        if len(words) < 5 or not more:
            continue
        mount = words[4].encode().decode("unicode_escape")
        below = mount if mount.endswith("/") else f"{mount}/"
        if (path == mount or path.startswith(below)) and len(mount) >= len(best):
            best, kind = mount, more[0]
    return kind


def _speed(around: Around, folder: Path) -> Finding:
    about = f"{DISK}: syncs"
    monotonic = around.clock.monotonic
    times = []
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            for _ in range(SYNCS):
                file.write(bytes(4096))
                file.flush()
                began = monotonic()
                os.fdatasync(file.fileno())
                times.append(monotonic() - began)
    except OSError as error:
        return unknown(about, f"cannot write in {folder}: {error.strerror}", "run as the server's user or as root")
    middle = sorted(times)[SYNCS // 2]
    words = f"{middle * 1000:.1f} ms each"
    if middle > SLOW_SYNC:
        return warning(
            about,
            f"{words}: each batch of messages waits for one",
            "a disk that is not shared with others, or one with a battery-backed cache",
        )
    return ok(about, words)


def _rights(folder: Path) -> Finding:
    about = "rights: data_dir"
    try:
        mode = folder.stat().st_mode & 0o777
    except OSError as error:
        return unknown(about, f"{folder}: {error.strerror}", "`postroad serve` makes it, or `postroad init`")
    if mode & 0o027:
        return problem(about, f"{folder} has mode {mode:03o}: others can read mail", f"chmod 0700 {folder}")
    return ok(about, f"mode {mode:03o}")


def _clock() -> Finding:
    state = clock_state()
    if state is None:
        return unknown(CLOCK, "the kernel does not tell whether it is right")
    if not state.is_synchronised:
        mend = "let an NTP client run (chrony, systemd-timesyncd): dates of mail, signatures and TLS depend on it"
        return warning(CLOCK, "nothing keeps it right", mend)
    return ok(CLOCK, f"synchronised, off by at most {state.error:.3f} s")


def _future(around: Around, folder: Path) -> Finding:
    """A clock that went back shows in files that are younger than now."""
    about = f"{CLOCK}: against the spool"
    now = around.clock.now() / 1_000_000
    newest = 0.0
    try:
        for found in os.scandir(folder):
            newest = max(newest, found.stat(follow_symlinks=False).st_mtime)
    except OSError as error:
        return unknown(about, f"{folder}: {error.strerror}")
    if newest > now + AHEAD:
        when = datetime.fromtimestamp(newest, UTC).strftime("%Y-%m-%d %H:%M:%S")
        return problem(
            about,
            f"{folder} was changed at {when} UTC, in the future",
            "set the clock right: it went back, and mail would wait too long",
        )
    return ok(about, "nothing there is from the future")


def _files(around: Around) -> Finding:
    about = f"{LIMITS}: open files"
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)  # the server raises the soft one itself
    needed = around.config.limits.sessions + FILES_BESIDE
    if 0 < hard < needed:
        mend = f"LimitNOFILE={needed} in the unit, or ulimit -Hn {needed}; or a smaller limits.sessions"
        return warning(about, f"{hard} at most here: sessions and connections may need {needed}", mend)
    return ok(about, f"at most {hard} here, and {needed} may be needed")
