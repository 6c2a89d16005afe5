"""Processes of ours: begun as copies of a process that is clean, and never outliving it.

Only a process without threads and without an event loop may be copied; the one that begins the others has neither, for
its whole life. When it dies, however that happens, the kernel kills its children (PR_SET_PDEATHSIG, prctl(2)).
"""

import ctypes
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Final

from msgspec import Struct

CRASHED: Final = 70  # what a child leaves with when a bug ended it
_PR_SET_PDEATHSIG: Final = 1
_HEARD: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR2)


class Ended(Struct, frozen=True):
    """A child that is no more: its exit code, or the signal that ended it."""

    pid: int
    code: int
    signal: int = 0

    @property
    def reason(self) -> str:
        """In words."""
        return f"ended by {signal.Signals(self.signal).name}" if self.signal else f"exit code {self.code}"


def fork(work: Callable[[], int]) -> int:
    """Begin a process that does `work` and leaves with what it returns; its id."""
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)  # none may be taken for the other process
    try:
        pid = os.fork()
        if pid == 0:
            _live(parent, work)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def _live(parent: int, work: Callable[[], int]) -> None:
    """The whole life of a child; does not return."""
    code = CRASHED
    try:
        _die_with_parent()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGUSR2, signal.SIG_DFL)
        # From a terminal or a service manager these reach all processes; the parent decides what they mean.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
        if os.getppid() == parent:  # it may have died before we could tell the kernel
            code = work()
    except BaseException:  # noqa: BLE001  nothing of the parent may be unwound in its child
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _die_with_parent() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0):
        code = ctypes.get_errno()
        raise OSError(code, f"a process cannot be bound to its parent: {os.strerror(code)}")


def next_ended() -> Ended | None:
    """A child that has ended and was not told of before."""
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    if pid == 0:
        return None
    code = os.waitstatus_to_exitcode(status)
    return Ended(pid, code) if code >= 0 else Ended(pid, code, -code)


class Signals:
    """Signals as something to wait for, beside descriptors: for a process without an event loop."""

    def __init__(self) -> None:
        """Take the signals over."""
        self._reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for one in _HEARD:
            signal.signal(one, _noted)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self._poll = select.poll()
        self._poll.register(self._reader, select.POLLIN)

    def watch(self, descriptor: int) -> None:
        """Wake up when there is something to read from `descriptor` too."""
        self._poll.register(descriptor, select.POLLIN)

    def forget(self, descriptor: int) -> None:
        """No more."""
        self._poll.unregister(descriptor)

    def wait(self, seconds: float) -> list[signal.Signals]:
        """The signals that came, after at most `seconds`; none when something else is to be read."""
        self._poll.poll(max(seconds, 0.0) * 1000)
        try:
            return [signal.Signals(number) for number in os.read(self._reader, 512)]
        except BlockingIOError:
            return []


def _noted(_number: int, _frame: object) -> None:
    """The wake-up descriptor has told it already."""
