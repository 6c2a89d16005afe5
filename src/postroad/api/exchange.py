"""Requests and answers of the API as values, whatever carries them.

Invariant: what is not here plays no part in an answer. RFC 9110 10.2.3 (Retry-After), RFC 6750 3 (WWW-Authenticate).
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from postroad.api.problem import CONTENT_TYPE, ApiError

MESSAGES: Final = "/v1/messages"
BATCH: Final = "/v1/messages/batch"
TLS_REPORTS: Final = "/v1/tls-reports"
DOCUMENT: Final = "/openapi.json"
JSON: Final = "application/json"
RAW: Final = "message/rfc822"
encode: Final = msgspec.json.Encoder().encode


class Headers(Struct, frozen=True):
    """The fields of a request that mean something here; `length` is None when it is not told."""

    authorization: str = ""
    content_type: str = ""
    content_encoding: str = ""
    idempotency_key: str | None = None
    length: int | None = None


class Asked(Struct, frozen=True, kw_only=True):
    """The head of a request; `read` gives its body of at most so many octets, in time, or raises ApiError."""

    method: str
    path: str
    query: Sequence[tuple[str, str]]
    headers: Headers
    ip: str
    port: int
    read: Callable[[int], Awaitable[bytes]]


class Told(Struct, frozen=True):
    """An answer."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


def problem_told(error: ApiError) -> Told:
    """A problem as an answer."""
    problem = error.problem
    headers: tuple[tuple[str, str], ...] = ()
    if error.after:
        headers = (("Retry-After", str(error.after)),)
    if problem.status == 401:
        headers = (("WWW-Authenticate", 'Bearer realm="postroad"'),)
    if problem.status == 405:
        headers = (("Allow", problem.detail.removeprefix("use ")),)
    return Told(problem.status, encode(problem), CONTENT_TYPE, headers)
