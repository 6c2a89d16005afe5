"""TLS of one listener as its sessions use it, and the handshakes of all that run at one time.

Their number is bounded, so that clients who begin one and stall take neither memory nor the place of others: when it
is reached, the oldest makes way if it has had its time, else the new one is told to come back (RFC 3207 4: 454).
"""

import ssl
from collections.abc import Callable
from typing import Final, Protocol

from msgspec import Struct

from postroad.net.tls.exporter import Exporter

PATIENCE: Final = 3.0  # seconds that a handshake has to itself, however many wait


class Shaker(Protocol):
    """Who does a handshake."""

    def give_way(self) -> None:
        """End it: others wait."""


class Handshakes:
    """Those that run, oldest first."""

    def __init__(self, most: int, monotonic: Callable[[], float]) -> None:
        """At most so many at one time."""
        self._most = most
        self._monotonic = monotonic
        self._running: dict[Shaker, float] = {}

    def __len__(self) -> int:
        """How many run."""
        return len(self._running)

    def begin(self, who: Shaker) -> bool:
        """Take `who` in; False when there is no room."""
        running, now = self._running, self._monotonic()
        if len(running) >= self._most:
            oldest, began = next(iter(running.items()))
            if now - began < PATIENCE:
                return False
            del running[oldest]
            oldest.give_way()
        running[who] = now
        return True

    def end(self, who: Shaker) -> None:
        """That of `who` is over."""
        self._running.pop(who, None)


class Tls(Struct, frozen=True, kw_only=True):
    """How sessions of one listener come by TLS; `context` gives that of a handshake to come.

    `exporter` gives the channel binding of TLS 1.3. `is_implicit`: from the first octet on; else by STARTTLS, which
    `is_required` before anything else may be done.
    """

    context: Callable[[], ssl.SSLContext]
    handshakes: Handshakes
    exporter: Exporter
    timeout: float
    is_implicit: bool = False
    is_required: bool = False
