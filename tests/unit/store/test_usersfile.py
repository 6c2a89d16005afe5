"""The users file on disk, and the key that lasts: whole, owned, one writer at a time."""

import stat
import threading
from pathlib import Path

import pytest

from postroad.store.lastingkey import OCTETS, lasting_key
from postroad.store.tablefile import TableFileError
from postroad.store.usersfile import locked, read_users, write_users


def test_a_new_file_is_for_its_owner_and_group(tmp_path: Path) -> None:
    path = tmp_path / "users"
    with pytest.raises(TableFileError, match="is not there"):
        read_users(path)
    write_users(path, "alice:-\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert read_users(path) == "alice:-\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["users"]


def test_an_old_file_keeps_its_mode_but_for_others(tmp_path: Path) -> None:
    path = tmp_path / "users"
    write_users(path, "one")
    path.chmod(0o600)
    write_users(path, "two")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o666)
    write_users(path, "three")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert read_users(path) == "three"


def test_writers_take_turns(tmp_path: Path) -> None:
    path = tmp_path / "users"
    write_users(path, "")

    def add(line: str) -> None:
        with locked(path):
            write_users(path, f"{read_users(path)}{line}\n")

    threads = [threading.Thread(target=add, args=(f"user{number}:-",)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_users(path).splitlines()) == 20


def test_a_key_lasts(tmp_path: Path) -> None:
    path = tmp_path / "data" / "auth.key"
    key = lasting_key(path)
    assert len(key) == OCTETS
    assert lasting_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_bytes(b"short")
    mended = lasting_key(path)
    assert len(mended) == OCTETS
    assert mended != key
    assert [entry.name for entry in path.parent.iterdir()] == ["auth.key"]
