"""Whether another user may read a file, by the modes of the file and of the folders above it."""

import os
import pwd
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from postroad.net.process.rights import can_read


@pytest.fixture
def file() -> Iterator[Path]:
    """A file in a folder that everybody can enter, as the temporary folders of tests are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        made = Path(folder) / "file"
        made.touch()
        yield made


def stranger(file: Path) -> pwd.struct_passwd:
    """Somebody who is neither the file's owner, nor in its group, nor root."""
    found = file.stat()
    return next(
        entry
        for entry in pwd.getpwall()
        if entry.pw_uid not in (0, found.st_uid) and found.st_gid not in os.getgrouplist(entry.pw_name, entry.pw_gid)
    )


@pytest.mark.parametrize(("mode", "others"), [(0o600, False), (0o640, False), (0o604, True)])
def test_by_the_mode(file: Path, mode: int, others: bool) -> None:
    file.chmod(mode)
    assert can_read(pwd.getpwuid(os.geteuid()).pw_name, file)
    assert can_read(stranger(file).pw_name, file) is others


def test_by_the_folder(file: Path) -> None:
    file.chmod(0o644)
    assert can_read(stranger(file).pw_name, file)
    file.parent.chmod(0o700)
    assert not can_read(stranger(file).pw_name, file)


def test_by_the_group(file: Path) -> None:
    me = pwd.getpwuid(os.geteuid())
    other = stranger(file) if me.pw_uid == 0 else me
    if other is not me:
        os.chown(file, -1, other.pw_gid)
    file.chmod(0o440)
    assert can_read(other.pw_name, file)
    file.chmod(0)
    assert not can_read(other.pw_name, file)


def test_what_is_told_elsewhere(tmp_path: Path) -> None:
    assert can_read("no-such-user-here", tmp_path)
    assert can_read(pwd.getpwuid(os.geteuid()).pw_name, tmp_path / "missing")
