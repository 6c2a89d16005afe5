"""Idle connections kept for the next message to the same target and source, bounded in number, age and messages.

The newest one is used first, so that what is not needed grows old and goes. Where a connection has served one
message only, some are kept and no more: mail for many places must not hold a connection to each. One timer
serves all. A peer's own limit of messages a session is kept (LIMITS MAILMAX, RFC 9422 5.1).
"""

from collections.abc import Callable
from typing import Final

from postroad.delivery.connection import Connection
from postroad.delivery.dialing import PoolKey
from postroad.delivery.settings import DeliverySettings
from postroad.net.clock import Clock, Timer

_IDLE_LIMIT: Final = 1000  # file descriptors are for mail that flows
_ONCE_LIMIT: Final = 100  # idle connections, from which on one that served one message is closed


class Pool:
    """Idle connections by what they were opened for; `take` one, `give` it back after use."""

    def __init__(self, settings: DeliverySettings, clock: Clock) -> None:
        """Keep connections as `settings` says."""
        self._settings = settings
        self._clock = clock
        self._idle: dict[PoolKey, list[Connection]] = {}
        self._count = 0
        self._timer: Timer | None = None
        self._is_closed = False

    def __len__(self) -> int:
        """Idle connections in all."""
        return self._count

    def take(self, key: PoolKey) -> Connection | None:
        """The connection under `key` that was used last, if one is alive."""
        idle = self._idle.get(key)
        while idle:
            connection = idle.pop()
            self._count -= 1
            if connection.is_alive:
                return connection
            connection.close()
        return None

    def is_fit(self, connection: Connection) -> bool:
        """True when `connection` may carry another message."""
        settings = connection.dialing.settings
        most = settings.connection_messages
        limit = connection.session.extensions.messages
        if connection.messages >= most or (limit and connection.messages >= limit):
            return False
        return connection.is_alive and self._clock.monotonic() - connection.born < settings.connection_lifetime

    def give(self, connection: Connection) -> None:
        """`connection` is not needed now: kept, or closed when it is spent."""
        idle = self._settings.connection_idle
        limit = _ONCE_LIMIT if connection.messages < 2 else _IDLE_LIMIT
        if idle <= 0 or self._is_closed or self._count >= limit or not self.is_fit(connection):
            connection.close()
            return
        connection.used = self._clock.monotonic()
        connection.was_kept = True
        self._idle.setdefault(connection.key, []).append(connection)
        self._count += 1
        if self._timer is None:
            self._timer = self._clock.call_later(idle, self._sweep)

    def close(self) -> list[Connection]:
        """Close all, now and whatever is given back later; the ones that were idle."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return self._drop(lambda _: True)

    def _sweep(self) -> None:
        """Close what was idle for too long; look again when the oldest of the rest will be."""
        idle = self._settings.connection_idle
        now = self._clock.monotonic()
        self._timer = None
        self._drop(lambda connection: now - connection.used >= idle or not connection.is_alive)
        if self._count:
            oldest = min(connection.used for connections in self._idle.values() for connection in connections)
            self._timer = self._clock.call_later(max(oldest + idle - now, 0.0) + 0.01, self._sweep)

    def _drop(self, is_spent: Callable[[Connection], bool]) -> list[Connection]:
        dropped: list[Connection] = []
        for key, connections in list(self._idle.items()):
            keep: list[Connection] = []
            for connection in connections:
                (dropped if is_spent(connection) else keep).append(connection)
            if keep:
                self._idle[key] = keep
            else:
                del self._idle[key]
        self._count -= len(dropped)
        for connection in dropped:
            connection.close()
        return dropped
