"""Slow answers for peers that err: the more a peer has erred, the longer its next refusal takes to come.

Only refusals wait, and with them what the peer sent behind the refused command, so nobody who is welcome is slowed. The
number of sessions that wait is bounded: beyond it answers come at once, since a flood must not fill us with sleepers.
A peer that is near to a ban (RFC 5321 7.3: guessing names) waits as long as one that erred often in this session, and
from `close_at` on its session ends with 421.
"""

from collections.abc import Callable

from postroad.policy.shield.settings import TarpitSettings


class Tarpit:
    """The one of a process, for one configuration."""

    def __init__(self, settings: TarpitSettings, nearness: Callable[[str], float] | None) -> None:
        """`nearness` tells how near to a ban an address is, from 0 to 1, where there are bans."""
        self._settings = settings
        self._nearness = nearness
        self.waiting = 0  # sessions

    def wait(self, ip: str, refusals: int) -> tuple[float, bool]:
        """Seconds that the answer to the newest of `refusals` waits; and whether the session ends with it."""
        settings = self._settings
        over = refusals - settings.after
        seconds = min(settings.delay * 2.0 ** min(over - 1, 30), settings.longest) if over > 0 else 0.0
        near = 0.0 if self._nearness is None else self._nearness(ip)
        seconds = max(seconds, near * settings.longest if near * settings.longest >= settings.delay else 0.0)
        return seconds, near >= settings.close_at

    def enter(self) -> bool:
        """A session begins to wait; False when too many do."""
        if self.waiting >= self._settings.waiting:
            return False
        self.waiting += 1
        return True

    def leave(self) -> None:
        """It waits no more."""
        self.waiting -= 1
