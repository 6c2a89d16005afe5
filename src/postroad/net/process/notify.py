"""Telling the service manager how we are: sd_notify(3), a datagram to the Unix socket that NOTIFY_SOCKET names.

READY=1 once mail is taken, RELOADING=1 and READY=1 around a reload, STOPPING=1 at the end, and WATCHDOG=1 from the
event loop at half of the time that WATCHDOG_USEC allows: a loop that hangs says nothing, and we are started anew.
Without NOTIFY_SOCKET nothing is done. To tell never fails and never blocks.
"""

import contextlib
import os
import socket
from collections.abc import MutableMapping
from typing import Final

from postroad.net.clock import Clock, Timer

_SHORTEST: Final = 0.05  # seconds between two signs of life
_VARIABLES: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Notifier:
    """One service manager."""

    def __init__(self, environment: MutableMapping[str, str], clock: Clock, *, beats_itself: bool = True) -> None:
        """Take the address out of `environment`, so that no process of ours speaks for us; it is kept in `taken`."""
        self._beats_itself = beats_itself
        self._clock = clock
        self._timer: Timer | None = None
        self.taken = {name: environment.pop(name) for name in _VARIABLES if name in environment}
        address = self.taken.get("NOTIFY_SOCKET", "")
        watched = self.taken.get("WATCHDOG_USEC", "")
        pid = self.taken.get("WATCHDOG_PID", "")
        self._socket: socket.socket | None = None
        self._every = 0.0
        self._beaten = float("-inf")
        if not address.startswith(("/", "@")):
            return
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        if watched.isascii() and watched.isdigit() and int(watched) and pid in {"", str(os.getpid())}:
            self._every = max(int(watched) / 2_000_000, _SHORTEST)

    def ready(self, status: str) -> None:
        """Everything runs; the signs of life begin, when there is an event loop to send them."""
        self.status(status, "READY=1")
        if self._timer is None and self._beats_itself:
            self.alive()

    def alive(self) -> None:
        """Give a sign of life, and go on with them: before `ready` when the manager counts on us already."""
        if self._every:
            if self._timer is not None:
                self._timer.cancel()
            self._beat()

    def reloading(self) -> None:
        """The configuration is being read anew; `ready` ends it (systemd.service(5), Type=notify-reload)."""
        self._say("RELOADING=1", f"MONOTONIC_USEC={int(self._clock.monotonic() * 1_000_000)}")

    def stopping(self) -> None:
        """We are going; the signs of life go on until `close`."""
        self._say("STOPPING=1")

    def status(self, text: str, *more: str) -> None:
        """One line for people."""
        self._say(*more, f"STATUS={text.replace(chr(10), ' ')}")

    def close(self) -> None:
        """Say nothing more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def beat(self, now: float) -> None:
        """A sign of life at the instant `now`, from who has no event loop; it may be given too often."""
        if self._every and now - self._beaten >= self._every:
            self._beaten = now
            self._say("WATCHDOG=1")

    def _beat(self) -> None:
        self._say("WATCHDOG=1")
        self._timer = self._clock.call_later(self._every, self._beat)

    def _say(self, *lines: str) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # the manager is gone or behind: that is not the mail's trouble
                self._socket.sendto("\n".join(lines).encode(), self._address)
