"""The AUTH command and the responses of its exchange: octets of one line to what the mechanism is given (RFC 4954 4).

Invariant: what is refused is never repeated, not even in part, since it could be a password.
"""

from base64 import b64decode
from binascii import Error
from typing import Final

from postroad.smtp import replies
from postroad.smtp.command import RefusalError
from postroad.smtp.state import AUTH_LINE

_NAME: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
_NAME_LIMIT: Final = 20  # RFC 4422 3.1


def parse_auth(argument: bytes) -> tuple[str, bytes | None]:
    """The mechanism in capitals, and the initial response when there is one; "=" is an empty one."""
    if len(argument) > AUTH_LINE - len("AUTH \r\n"):
        raise RefusalError(replies.AUTH_LINE_TOO_LONG, "AUTH is longer than 12288 octets")
    first, *rest = argument.split() or [b""]
    name = first.decode("ascii", "replace").upper()
    if not name or len(rest) > 1 or len(name) > _NAME_LIMIT or set(name) - _NAME:
        raise RefusalError(replies.SYNTAX, "AUTH takes a mechanism and perhaps an initial response")
    if not rest:
        return name, None
    return name, _decode(rest[0])


def parse_response(line: bytes, problem: str) -> bytes:
    """The client's response to a challenge; `problem` is what was wrong with the line."""
    if problem:
        reply = replies.AUTH_LINE_TOO_LONG if problem == "too long" else replies.AUTH_NOT_BASE64
        raise RefusalError(reply, f"response: {problem}")
    if line == b"*":
        raise RefusalError(replies.AUTH_CANCELLED, "cancelled by the client")
    return _decode(line)


def _decode(text: bytes) -> bytes:
    if text == b"=":  # of a command it is an empty one; curl sends it as a response, too
        return b""
    try:
        return b64decode(text, validate=True)
    except Error:
        raise RefusalError(replies.AUTH_NOT_BASE64, "not base64") from None
