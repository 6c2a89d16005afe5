"""What the processes of one server share about peers that misbehave: shared memory beside the board's.

The courier alone writes the table of bans and the accounts that are held or locked; edges read both. Each edge writes
conduct that it saw into a ring of its own, which the courier alone reads: what finds no room there is left out and
counted, never waited for. Alone in the server, one process is both. Pages that nobody has touched take no memory.
"""

from collections.abc import Iterator
from mmap import mmap
from typing import Final

import msgspec

from postroad.policy.shield.accounts import Account
from postroad.policy.shield.bantable import CAPACITY, BanTable, octets_for
from postroad.policy.shield.conduct import Conduct

_RING: Final = 1 << 19  # octets of each ring
_HEAD: Final = 16  # octets of a ring's two numbers: all that was ever written, all that was ever read
_SIZE: Final = 4  # octets of a frame's length
_LONGEST: Final = 4096  # octets of a frame
_ACCOUNTS: Final = 1 << 21  # octets of the accounts as text
_encode: Final = msgspec.msgpack.Encoder().encode
_decode_conduct: Final = msgspec.msgpack.Decoder(Conduct).decode
_decode_accounts: Final = msgspec.msgpack.Decoder(tuple[Account, ...]).decode


class GuardBoard:
    """The shared memory; made before any other process is begun."""

    def __init__(self, places: int, key: bytes) -> None:
        """For so many processes; `key` is random."""
        self.table = BanTable(mmap(-1, octets_for(CAPACITY)), key)
        self.rings = tuple(Ring() for _ in range(places))
        self._texts = mmap(-1, _HEAD + _ACCOUNTS)
        self._numbers = memoryview(self._texts).cast("Q")

    # -- accounts --------------------------------------------------------------------------------

    def show(self, accounts: tuple[Account, ...]) -> bool:
        """These are held or locked; False when they are more than there is room for, and nothing changes."""
        text = _encode(accounts)
        if len(text) > _ACCOUNTS:
            return False
        self._numbers[0] += 1  # odd while they change
        self._texts[_HEAD : _HEAD + len(text)] = text
        self._numbers[1] = len(text)
        self._numbers[0] += 1
        return True

    @property
    def version(self) -> int:
        """Grows whenever the accounts change; odd while they do."""
        return self._numbers[0]

    def accounts(self) -> tuple[Account, ...] | None:
        """Those that are held or locked; None while that changes."""
        before = self.version
        text = self._texts[_HEAD : _HEAD + self._numbers[1]]
        if before & 1 or before != self.version:
            return None
        return _decode_accounts(text) if text else ()


class Ring:
    """Conduct on its way from one process to another."""

    def __init__(self) -> None:
        """Empty."""
        self.left_out = 0  # by the one who writes
        self._memory = mmap(-1, _HEAD + _RING)
        self._numbers = memoryview(self._memory)[:_HEAD].cast("Q")

    def put(self, conduct: Conduct) -> None:
        """Send it; what finds no room is counted."""
        text = _encode(conduct)
        written, read = self._numbers[0], self._numbers[1]
        if len(text) > _LONGEST or written - read + _SIZE + len(text) > _RING:
            self.left_out += 1
            return
        self._write(written, len(text).to_bytes(_SIZE) + text)
        self._numbers[0] = written + _SIZE + len(text)  # last: the reader sees whole frames alone

    def take(self) -> Iterator[Conduct]:
        """All that has come."""
        read = self._numbers[1]
        while read < self._numbers[0]:
            size = int.from_bytes(self._read(read, _SIZE))
            conduct = _decode_conduct(self._read(read + _SIZE, size))
            read += _SIZE + size
            self._numbers[1] = read
            yield conduct

    def _write(self, place: int, octets: bytes) -> None:
        at = place % _RING
        first = octets[: _RING - at]
        self._memory[_HEAD + at : _HEAD + at + len(first)] = first
        rest = octets[len(first) :]
        self._memory[_HEAD : _HEAD + len(rest)] = rest

    def _read(self, place: int, size: int) -> bytes:
        at = place % _RING
        first = self._memory[_HEAD + at : _HEAD + min(at + size, _RING)]
        return first + self._memory[_HEAD : _HEAD + size - len(first)]
