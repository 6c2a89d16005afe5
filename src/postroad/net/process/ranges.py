"""Locks between processes that share memory: by number, and gone with the process that held them.

They are record locks of the kernel (fcntl(2), F_SETLK) on a file without a name, which every copy of a process has: a
process that is killed lets go of them, whatever it was doing. Nobody waits for long: who holds one needs
microseconds, so one that is not let go of is that of a process which does not run, and it is gone past.
"""

import errno
import fcntl
import os
import select
from collections.abc import Sequence
from typing import Final

TRIES: Final = 200
PAUSE: Final = 0.1  # milliseconds between them


class RangeLocks:
    """So many locks; made before any other process is begun."""

    def __init__(self, count: int) -> None:
        """Nobody holds any."""
        self._file = os.memfd_create("postroad-locks", os.MFD_CLOEXEC)
        self._count = count
        self._held: list[int] = []
        self._poll = select.poll()  # of nothing: a pause
        self.passed = 0  # how often one was gone past

    def lock(self, numbers: Sequence[int]) -> None:
        """Keep others out of these; a number above the count shares a lock with another."""
        wanted = [numbers[0] % self._count] if len(numbers) == 1 else sorted({each % self._count for each in numbers})
        for number in wanted:
            if self._get(number):
                self._held.append(number)

    def unlock(self) -> None:
        """Let go of all."""
        for number in self._held:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)
        self._held.clear()

    def _get(self, number: int) -> bool:
        for _ in range(TRIES):
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
            except OSError as error:
                if error.errno not in {errno.EAGAIN, errno.EACCES}:
                    break  # the kernel has no more of them
                self._poll.poll(PAUSE)
            else:
                return True
        self.passed += 1
        return False

    def close(self) -> None:
        """Needed no more."""
        os.close(self._file)
