"""Addresses out of header fields and command lines, as sendmail takes them (RFC 5322 3.4, 4.4).

Display names, comments, quoted strings, groups, source routes; names without a domain stay as they are. Only what
separates and decorates is understood here: whether an address is valid, the caller asks `model.address`. Pure.
"""

import re
from collections.abc import Iterator
from typing import Final

_PIECES: Final = re.compile(
    r"""(?P<quoted> "(?:\\.|[^"\\])*"? ) | (?P<literal> \[(?:\\.|[^\]\\])*\]? ) | (?P<mark> [(<>,:;] )
    | (?P<space> \s+ ) | (?P<text> (?:\\.|[^"\[(<>,:;\s])+ )""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT: Final = re.compile(r"\\.|[()]", re.DOTALL)
_AROUND: Final = re.compile(r"\s*([.@])\s*")


def addresses(text: str) -> list[str]:
    """Every address in `text`, in order; "<>" becomes the empty string."""
    return list(_addresses(text))


def _addresses(text: str) -> Iterator[str]:
    plain: list[str] = []  # outside of angle brackets since the last separator
    angle: list[str] | None = None  # inside of them
    is_done = False  # brackets were closed: what follows until the separator is decoration
    at = 0
    while at < len(text):
        found = _PIECES.match(text, at)
        if found is None:  # a backslash at the very end
            break
        at, kind, piece = found.end(), found.lastgroup, found[0]
        if kind != "mark":
            if angle is not None and not is_done:
                angle.append("" if kind == "space" else piece)
            else:
                plain.append(piece)
        elif piece == "(":
            at = _after_comment(text, at)
            plain.append(" ")
        elif piece == "<" and is_done:  # another one, with nothing between: some readers show the last
            yield from _finished(plain, angle)
            plain, angle, is_done = [], [], False
        elif piece == "<" and angle is None:
            angle = []
        elif angle is not None and not is_done:
            if piece == ">":
                is_done = True
            else:
                angle.append(piece)
        elif piece == ":":
            plain = []  # the name of a group
        elif piece in ",;":
            yield from _finished(plain, angle)
            plain, angle, is_done = [], None, False
    yield from _finished(plain, angle)


def _after_comment(text: str, at: int) -> int:
    """The place behind the comment that began before `at`; comments nest."""
    depth = 1
    while depth:
        found = _COMMENT.search(text, at)
        if found is None:
            return len(text)
        at = found.end()
        depth += {"(": 1, ")": -1}.get(found[0], 0)
    return at


def _finished(plain: list[str], angle: list[str] | None) -> Iterator[str]:
    if angle is not None:
        yield "".join(angle)
        return
    kept = [piece for piece in plain if piece.startswith('"')]  # quoted strings, which have spaces of their own
    numbers = iter(range(len(kept)))
    shown = "".join(f"\0{next(numbers)}\0" if piece.startswith('"') else piece.replace("\0", "") for piece in plain)
    for word in _AROUND.sub(r"\1", shown).split():
        parts = word.split("\0")
        yield "".join(kept[int(part)] if odd % 2 else part for odd, part in enumerate(parts))
