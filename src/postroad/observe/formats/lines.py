"""What the formats share: stamps of time, and words of peers made harmless.

A peer must not be able to begin a line of its own or to steer the terminal of whoever reads the log
(RFC 5321 7.8 leaves replies and names to the peer's fancy): everything that does not print is escaped.
Formatting a time reads no clock; it is given.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from postroad.model.records import Record

LINE_LIMIT: Final = 8192  # characters of a line for people or log tools; the rest adds nothing
_CENTS: Final = tuple(f"{cents / 100:.2g}" for cents in range(1000))

Encode = Callable[[Record], bytes]
"""A format: the record's lines, each with its newline; b"" when the format has no words for it."""


class Stamp:
    """The part of a local time that changes once a second, rendered once a second."""

    def __init__(self, render: Callable[[datetime], str]) -> None:
        """Stamp with `render`, which is given local time without its microseconds."""
        self._render = render
        self._second = -1
        self._text = ""

    def __call__(self, at: int) -> str:
        """The stamp of the second that `at`, in microseconds since 1970, lies in."""
        second = at // 1_000_000
        if second != self._second:
            self._text = self._render(datetime.fromtimestamp(second, tz=UTC).astimezone())
            self._second = second
        return self._text


def seconds(value: float) -> str:
    """A delay as Postfix writes it: two digits, whole seconds from ten on, nothing below a hundredth."""
    if 0 <= value < 9.99:
        return _CENTS[int(value * 100 + 0.5)]
    return f"{value:.0f}"


def plural(number: int, noun: str) -> str:
    """`number` things: "1 message", "2 messages"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def printable(line: str) -> str:
    """The line `line` with whatever does not print, line breaks first of all, as a backslash escape."""
    if line.isprintable() and len(line) <= LINE_LIMIT:
        return line
    if len(line) > LINE_LIMIT:
        line = f"{line[:LINE_LIMIT]}..."
    return "".join(sign if sign.isprintable() else _escape(sign) for sign in line)


def _escape(sign: str) -> str:
    number = ord(sign)
    if sign == "\n":
        return "\\n"
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
