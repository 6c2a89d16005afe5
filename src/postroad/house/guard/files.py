"""The files in `data_dir` of what is known of peers and accounts: bans, what is usual, who is held or locked.

Written whole and replaced in one step. Bans and what is usual are written every so often, so a kill loses what came
since; accounts and orders are written at once. A file that cannot be read stops nobody's mail.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from postroad.model.errors import SpoolError
from postroad.policy.shield.accounts import Account
from postroad.policy.shield.bantable import Standing
from postroad.policy.shield.habits import Habit
from postroad.store.kept import load, save

Bans = list[tuple[bytes, Standing]]
_SIZE: Final = 4  # octets in front of each portion of bans
_encode: Final = msgspec.msgpack.Encoder().encode
_Kept = TypeVar("_Kept")


def portion(entries: Bans) -> bytes:
    """A part of the file of bans: a large one is made of many, so that making it never takes long at a time."""
    octets = _encode(entries)
    return len(octets).to_bytes(_SIZE) + octets


def save_bans(path: Path, portions: Iterable[bytes]) -> None:
    """Replace the file, durably; SpoolError when the disk refuses."""
    save(path, b"".join(portions))


def load_bans(path: Path) -> Iterator[Bans]:
    """What the file holds, portion by portion; SpoolError when it makes no sense."""
    octets = load(path)
    at = 0
    while at < len(octets):
        end = at + _SIZE + int.from_bytes(octets[at : at + _SIZE])
        try:
            yield msgspec.msgpack.decode(octets[at + _SIZE : end], type=Bans)
        except msgspec.MsgspecError as error:
            raise SpoolError(f"{path} cannot be read: {error}") from error
        at = end


def load_accounts(path: Path) -> tuple[Account, ...]:
    """Who is held or locked; SpoolError when the file makes no sense."""
    return _read(path, tuple[Account, ...], ())


def save_accounts(path: Path, accounts: tuple[Account, ...]) -> None:
    """Replace the file, durably; SpoolError when the disk refuses."""
    save(path, msgspec.json.encode(accounts))


def load_habits(path: Path) -> dict[str, Habit]:
    """What is usual for each login; SpoolError when the file makes no sense."""
    return _read(path, dict[str, Habit], {})


def save_habits(path: Path, octets: bytes) -> None:
    """Replace the file, durably; SpoolError when the disk refuses."""
    save(path, octets)


def _read(path: Path, kind: type[_Kept], nothing: _Kept) -> _Kept:
    octets = load(path)
    try:
        return msgspec.json.decode(octets, type=kind) if octets else nothing
    except msgspec.MsgspecError as error:
        raise SpoolError(f"{path} cannot be read: {error}") from error
