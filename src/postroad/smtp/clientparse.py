"""What a remote server says, parsed: replies from octets, extensions from the answer to EHLO.

Replies are kept in the peer's own words: decoded as UTF-8, control characters removed, the enhanced
code apart (RFC 2034 4). Lines, their number and their octets are bounded, so no peer can fill the memory.
A line may end in a bare LF: servers that send it exist, and no content hides in a reply. A multi-line
reply has the code of its last line (RFC 5321 4.2.1).
"""

from collections.abc import Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from postroad.model.errors import PeerError
from postroad.model.reply import Reply

LINE_LIMIT: Final = 4096  # RFC 5321 4.5.3.1.5 has 512; long URLs in refusals exceed it
LINES_LIMIT: Final = 256
REPLY_LIMIT: Final = 64 * 1024
_KNOWN_LIMIT: Final = 512  # groups of replies, and answers to EHLO, kept for reuse: peers say the same over and over
_KNOWN_SIZE: Final = 2048  # octets of such a group at most
_CONTROLS: Final = MappingProxyType({9: " "} | dict.fromkeys([*range(9), *range(10, 32), *range(127, 160)], ""))


class Extensions(Struct, frozen=True, gc=False):
    """What the peer offers; `size` 0 and the limits 0 when it names none."""

    hello: bool = False  # EHLO or LHLO was understood
    pipelining: bool = False  # RFC 2920
    has_size: bool = False  # RFC 1870
    size: int = 0
    eight_bit: bool = False  # RFC 6152
    smtputf8: bool = False  # RFC 6531
    chunking: bool = False  # RFC 3030
    binary: bool = False  # RFC 3030
    dsn: bool = False  # RFC 3461
    starttls: bool = False  # RFC 3207
    enhanced: bool = False  # RFC 2034
    requiretls: bool = False  # RFC 8689
    recipients: int = 0  # RFC 9422
    messages: int = 0  # RFC 9422


class ReplyReader:
    """Takes octets in any split, gives whole replies."""

    __slots__ = ("_lines", "_octets", "_tail")

    def __init__(self) -> None:
        """Begin with nothing read."""
        self._tail = b""
        self._lines: list[str] = []
        self._octets = 0

    @property
    def is_between(self) -> bool:
        """True when no reply has begun."""
        return not self._tail and not self._lines

    def feed(self, data: bytes) -> Sequence[Reply]:
        """The replies that `data` completes; PeerError when it is no reply or exceeds a bound."""
        if self._tail or self._lines:
            return self._read(self._tail + data)
        if data.count(b"\n") > 1 and len(data) <= _KNOWN_SIZE:  # a single line may well be new each time
            known = _whole_replies(data)
            if known is not None:
                return known
        return self._read(data)

    def _read(self, data: bytes) -> list[Reply]:
        lines = data.split(b"\n")
        self._tail = tail = lines.pop()
        if len(tail) > LINE_LIMIT:
            raise PeerError(f"reply line is longer than {LINE_LIMIT} octets")
        return [reply for line in lines if (reply := self._take(line)) is not None]

    def _take(self, line: bytes) -> Reply | None:
        """One line without its LF: the reply when it is the last one."""
        length = len(line)
        if length > LINE_LIMIT:
            raise PeerError(f"reply line is longer than {LINE_LIMIT} octets")
        stripped = line.rstrip(b"\r")
        mark = stripped[3:4]
        if not (stripped[:3].isdigit() and b"2" <= stripped[:1] <= b"5" and mark in b" -"):
            raise PeerError(f"not an SMTP reply: {_printable(stripped[:80])!r}")
        text = _printable(stripped[4:])
        if mark == b"-":
            self._octets += length
            self._lines.append(text)
            if len(self._lines) > LINES_LIMIT or self._octets > REPLY_LIMIT:
                raise PeerError(f"reply has more than {LINES_LIMIT} lines or {REPLY_LIMIT} octets")
            return None
        code = int(stripped[:3])
        if not self._lines:
            enhanced = _enhanced_code(text, code)
            return Reply(code, enhanced, text[len(enhanced) + 1 :]) if enhanced else Reply(code, "", text)
        texts = [*self._lines, text]
        self._lines = []
        self._octets = 0
        enhanced = _enhanced_code(text, code)
        if enhanced:  # it stands on each line (RFC 2034 4)
            head = f"{enhanced} "
            texts = [line.removeprefix(head) if line != enhanced else "" for line in texts]
        return Reply(code, enhanced, "\n".join(texts))


@lru_cache(_KNOWN_LIMIT)  # a pure function of its argument
def _whole_replies(data: bytes) -> tuple[Reply, ...] | None:
    """The replies that `data` is, None when the last one is not complete."""
    reader = ReplyReader()
    replies = tuple(reader._read(data))  # noqa: SLF001  # the same parser, from a clean start
    return replies if reader.is_between else None


@lru_cache(_KNOWN_LIMIT)  # a pure function of its argument
def parse_extensions(reply: Reply) -> Extensions:
    """The extensions in a positive answer to EHLO or LHLO (RFC 5321 4.1.1.1); malformed ones count as not offered."""
    words: dict[str, list[str]] = {}
    for line in reply.text.split("\n")[1:]:
        keyword, *parameters = line.split()[:16] or [""]
        words.setdefault(keyword.upper(), parameters)
    limits = dict(word.upper().partition("=")[::2] for word in words.get("LIMITS", ()))
    return Extensions(
        hello=True,
        pipelining="PIPELINING" in words,
        has_size="SIZE" in words,
        size=_number((words.get("SIZE") or ["0"])[0]),
        eight_bit="8BITMIME" in words,
        smtputf8="SMTPUTF8" in words,
        chunking="CHUNKING" in words,
        binary="BINARYMIME" in words and "CHUNKING" in words,
        dsn="DSN" in words,
        starttls="STARTTLS" in words,
        enhanced="ENHANCEDSTATUSCODES" in words,
        requiretls="REQUIRETLS" in words,
        recipients=_number(limits.get("RCPTMAX", "0")),
        messages=_number(limits.get("MAILMAX", "0")),
    )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _printable(raw: bytes) -> str:
    text = raw.decode("utf-8", "replace")
    return text if text.isprintable() else text.translate(_CONTROLS)


def _enhanced_code(text: str, code: int) -> str:
    """The enhanced code `text` begins with, if its class is that of `code` (RFC 2034 4, RFC 3463 2)."""
    if text[1:2] != ".":
        return ""
    word = text[:10].partition(" ")[0]
    kind, _, rest = word.partition(".")
    subject, _, detail = rest.partition(".")
    if kind != str(code)[0] or not (subject.isdigit() and detail.isdigit() and word.isascii()):
        return ""
    return word if len(subject) <= 3 and len(detail) <= 3 else ""
