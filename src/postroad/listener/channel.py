"""The transport of one connection and who holds its reading back; the base of listener/session.py.

Reading pauses while anybody holds it: an answer that is open while input piles up, content that waits for the disk, a
peer that does not read. It goes on when nobody does any more.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from postroad.listener.tarpit import Tarpit

Later = Callable[[float, Callable[[], None]], object]


class Channel(asyncio.Protocol):
    """One connection, without what is said on it."""

    def __init__(self) -> None:
        """Not connected yet."""
        self._transport: asyncio.Transport | None = None
        self._held: set[str] = set()  # why reading is paused
        self._tarpit: Tarpit | None = None  # where it waits

    def _connected(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has its methods, not its name

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _detain(self, tarpit: Tarpit, seconds: float, call_later: Later) -> None:
        """Read and say nothing for `seconds`, then go on; unless too many wait already."""
        if "tarpit" in self._held or not tarpit.enter():
            return
        self._tarpit = tarpit
        self._hold("tarpit")

        def over() -> None:
            if self._tarpit is tarpit:
                self._let_go()
                self._released()

        call_later(seconds, over)

    def _released(self) -> None:
        """The wait is over; a conversation does more than nothing here."""

    def _let_go(self) -> None:
        """It waits no longer."""
        if self._tarpit is not None:
            self._tarpit.leave()
            self._tarpit = None
            self._resume("tarpit")

    def _hold(self, why: str) -> None:
        if not self._held and self._transport is not None:
            self._transport.pause_reading()
        self._held.add(why)

    def _resume(self, why: str) -> None:
        if why in self._held:
            self._held.discard(why)
            if not self._held and self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()
