"""An order of a certificate: who carries it out, and in which time.

`net.acmeclient` carries it out, in a thread; it is imported late, since it needs a library that is there only for
certificates by ACME. RFC 8555 7.4 (orders).
"""

from collections.abc import Callable, Sequence
from threading import Event
from typing import Final, Protocol

from postroad.model.acme import Account, Wanted
from postroad.model.errors import AcmeError
from postroad.net.acme.challenges import Challenges
from postroad.net.clock import Clock

ORDER_SECONDS: Final = 300.0
QUERY_SECONDS: Final = 60.0


class Pace:
    """The time that something may take: from now on `seconds`, and no longer than until `stop` is set."""

    def __init__(self, clock: Clock, stop: Event, seconds: float) -> None:
        """Begin to count."""
        self._monotonic = clock.monotonic
        self._stop = stop
        self._until = clock.monotonic() + seconds
        self.now = clock.now

    def check(self) -> float:
        """The seconds that are left; AcmeError when there are none."""
        if self._stop.is_set():
            raise AcmeError("it was stopped")
        left = self._until - self._monotonic()
        if left <= 0:
            raise AcmeError("the CA was not done in time")
        return left

    def wait(self, seconds: float) -> None:
        """Let `seconds` pass, or what is left; AcmeError when nothing is left then."""
        self._stop.wait(min(seconds, self.check()))
        self.check()


class AcmeClient(Protocol):
    """Speaks with a CA. Blocks; AcmeError says what went wrong."""

    def obtain(self) -> bytes:
        """Key and certificate chain in PEM."""

    def suggestion(self, pem: bytes) -> tuple[int, float]:
        """When the CA would have this certificate renewed, 0 when it does not say; in how many seconds to ask again."""


MakeClient = Callable[[Wanted, Account | None, Callable[[Account], None], Challenges, Pace], AcmeClient]
MakeStandIn = Callable[[Sequence[str], int], bytes]
