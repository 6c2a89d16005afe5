"""What a directory knows of its servers, and the connections that it keeps.

A server that fails is passed over for a pause that doubles each time. Decisions over values and a given `now`.
"""

from collections.abc import Callable
from typing import Final

from postroad.net.ldap.connection import LdapConnection
from postroad.net.ldap.server import LdapServer

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
IDLE_SECONDS: Final = 120.0  # servers close idle connections after some minutes; Active Directory after 15
LIFE_SECONDS: Final = 600.0  # after which a kept connection is made anew: so the first server gets its share again


class Standing:
    """How one server does."""

    def __init__(self, server: LdapServer) -> None:
        """It is taken to work."""
        self.server = server
        self.reason = ""  # of its last fault, "" while it works
        self._until = 0.0
        self._faults = 0
        self._is_tried = False  # by one caller, who finds out whether it is back

    def may_be_tried(self, now: float, lease: float) -> bool:
        """True when it works; when its pause is over, for one caller, who has `lease` seconds to find out."""
        if not self._faults:
            return True
        if now < self._until:
            return False
        self._until = now + lease
        self._is_tried = True
        return True

    def fail(self, now: float, reason: str) -> float:
        """The pause from now on; 0.0 when another question has found out already."""
        if self._faults and now < self._until and not self._is_tried:
            return 0.0
        self.reason = reason
        self._is_tried = False
        pause = min(FIRST_PAUSE * 2.0**self._faults, LONGEST_PAUSE)
        self._faults = min(self._faults + 1, 10)
        self._until = now + pause
        return pause

    def succeed(self) -> bool:
        """True when it did not work before."""
        was_failing = self._faults > 0
        self._faults, self._until, self._is_tried, self.reason = 0, 0.0, False, ""
        return was_failing


class Kept:
    """Open connections that nobody uses, the last used ones at the end."""

    def __init__(self) -> None:
        """None yet."""
        self._connections: list[LdapConnection] = []

    @property
    def size(self) -> int:
        """How many."""
        return len(self._connections)

    def take(self) -> LdapConnection | None:
        """The one that was used last."""
        return self._connections.pop() if self._connections else None

    def put(self, connection: LdapConnection, now: float) -> None:
        """One more."""
        connection.used = now
        self._connections.append(connection)

    def drop(self, is_unwanted: Callable[[LdapConnection], bool]) -> list[LdapConnection]:
        """Take out those that are not wanted any more; whoever calls closes them."""
        unwanted = [one for one in self._connections if is_unwanted(one)]
        if unwanted:
            self._connections = [one for one in self._connections if one not in unwanted]
        return unwanted

    def drop_oldest(self) -> list[LdapConnection]:
        """Take out the one that was used longest ago, if there is any."""
        return [self._connections.pop(0)] if self._connections else []


def is_stale(connection: LdapConnection, now: float) -> bool:
    """True when it was closed, unused for long, or has lived for long."""
    return not connection.is_open or now - connection.used > IDLE_SECONDS or now - connection.opened > LIFE_SECONDS
