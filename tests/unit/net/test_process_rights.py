"""Whether another user may read a file, by its mode alone."""

import os
import pwd
from pathlib import Path

import pytest

from postroad.net.process import can_read


@pytest.mark.parametrize(("mode", "mine", "others"), [(0o600, True, False), (0o200, False, False), (0o604, True, True)])
def test_by_the_mode(tmp_path: Path, mode: int, mine: bool, others: bool) -> None:
    file = tmp_path / "file"
    file.touch()
    file.chmod(mode)
    me = pwd.getpwuid(os.geteuid())
    assert can_read(me.pw_name, file) is mine
    groups = [
        entry for entry in pwd.getpwall() if file.stat().st_gid not in os.getgrouplist(entry.pw_name, entry.pw_gid)
    ]
    somebody = next(entry.pw_name for entry in groups if entry.pw_uid != me.pw_uid)
    assert can_read(somebody, file) is others


def test_by_the_group(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    me = pwd.getpwuid(os.geteuid())
    other = next(entry for entry in pwd.getpwall() if entry.pw_uid != me.pw_uid) if me.pw_uid == 0 else me
    if other is not me:
        os.chown(file, -1, other.pw_gid)
    file.chmod(0o440)
    assert can_read(other.pw_name, file)
    file.chmod(0)
    assert not can_read(other.pw_name, file)


def test_what_is_told_elsewhere(tmp_path: Path) -> None:
    assert can_read("no-such-user-here", tmp_path)
    assert can_read(pwd.getpwuid(os.geteuid()).pw_name, tmp_path / "missing")
