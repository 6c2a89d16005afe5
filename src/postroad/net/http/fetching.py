"""What came of a question by HTTP, and what it takes to ask one, as values: the client itself is imported late.

`net/http/fetcher.py` is what is asked with; it needs a large library, which nobody has to load who asks nobody.
"""

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from postroad.model.dns import Lookup


class Answer(Struct, frozen=True):
    """An HTTP status, or 0 and why there is none; `retry_after` in seconds when the peer asked for it.

    `body` is the beginning of the answer's body, `content_type` its type as given; `untrusted`: there is no answer
    because the certificate is not accepted.
    """

    status: int
    reason: str = ""
    retry_after: float = 0.0
    body: bytes = b""
    content_type: str = ""
    untrusted: bool = False

    def __str__(self) -> str:
        """As people write it."""
        return f"HTTP {self.status} {self.reason}".rstrip() if self.status else self.reason


class Fetching(Protocol):
    """GETs and POSTs; whatever the peer or the network does is an `Answer`, never an exception."""

    async def get(self, url: str) -> Answer:
        """What is at `url`."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """The answer to `body`."""

    async def close(self) -> None:
        """Close the connections."""


class MakeFetcher(Protocol):
    """Makes one, as `Fetcher` of net/http/fetcher.py does."""

    def __call__(
        self, *, timeout: float, agent: str, limit: int, ca: str = "", lookup: Lookup | None = None
    ) -> Fetching:
        """`timeout` in seconds, `limit` in octets of an answer."""
