"""The pages of the desk: /healthz, /readyz and /metrics.

/healthz says that the event loop runs, and nothing more: whoever restarts a server because of it must not do so for a
full disk. /readyz says whether new mail is accepted, with the reason when it is not.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from postroad.desk.http import Page

_TEXT: Final = "text/plain; charset=utf-8"


class HealthPages:
    """Answers by path."""

    def __init__(
        self, *, unready: Callable[[], str], metrics: Callable[[], Awaitable[bytes]], metrics_type: str
    ) -> None:
        """`unready` tells why mail is not accepted, "" when it is; `metrics` makes the page of that content type."""
        self._unready = unready
        self._metrics = metrics
        self._metrics_type = metrics_type

    async def __call__(self, path: str) -> Page | None:
        """The page of `path`; None when there is none."""
        match path:
            case "/healthz":
                return Page(200, b"alive\n", _TEXT)
            case "/readyz":
                reason = self._unready()
                return Page(503, f"{reason}\n".encode(), _TEXT) if reason else Page(200, b"ready\n", _TEXT)
            case "/metrics":
                return Page(200, await self._metrics(), self._metrics_type)
            case _:
                return None
