"""The head of an HTTP request as a value: strict, small, and no bodies. Pure.

Invariant: for any octets there is a `Request` or a `BadRequest`. RFC 9112 3 (request line), RFC 9112 5 (fields).
"""

from typing import Final

from msgspec import Struct

HEAD_LIMIT: Final = 8 << 10  # octets of request line and fields
_METHODS: Final = frozenset({"GET", "HEAD"})
_VERSIONS: Final = ("HTTP/1.1", "HTTP/1.0")
_TOKEN: Final = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


class BadRequest(Exception):  # noqa: N818  its name is that of the answer
    """The request gets `status`, and the connection ends."""

    def __init__(self, status: int) -> None:
        """Only the status is told: what a client did wrong is its own affair."""
        super().__init__(status)
        self.status = status


class Request(Struct, frozen=True):
    """What is asked: `path` without its query."""

    path: str
    is_head: bool
    keeps_alive: bool


def parse_request(head: bytes) -> Request:
    """`head` up to and with its empty line; BadRequest for what is broken, not allowed here, or has a body."""
    if b"\0" in head or b"\r" in head.replace(b"\r\n", b""):
        raise BadRequest(400)
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    method, _, rest = first.partition(" ")
    target, _, version = rest.partition(" ")
    if not method or set(method) - _TOKEN or " " in version or not version.startswith("HTTP/"):
        raise BadRequest(400)
    if version not in _VERSIONS:
        raise BadRequest(505)
    fields = _fields(lines)
    if version == "HTTP/1.1" and "host" not in fields:
        raise BadRequest(400)
    if method not in _METHODS:
        raise BadRequest(405)
    if "transfer-encoding" in fields or fields.get("content-length", "0") != "0":
        raise BadRequest(413)  # pages take no body; reading one could be made to last
    if not target.startswith("/"):
        raise BadRequest(400)
    keeps = version == "HTTP/1.1" and "close" not in fields.get("connection", "").lower()
    return Request(target.partition("?")[0], method == "HEAD", keeps)


def _fields(lines: list[str]) -> dict[str, str]:
    """Fields by lower-case name; one that comes twice and must not is an error (RFC 9112 3.2, RFC 9112 6.3)."""
    out: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or set(name) - _TOKEN or "\n" in line:
            raise BadRequest(400)
        key = name.lower()
        if key in out and key in {"host", "content-length"}:
            raise BadRequest(400)
        out[key] = value.strip(" \t")
    return out
