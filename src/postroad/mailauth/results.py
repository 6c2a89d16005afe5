"""Authentication-Results: written once, read from whoever wrote one, and found where somebody forged ours (RFC 8601).

What is written can be read again, whatever it holds: values are quoted where they must be and cut where they are
long. What is read may be hostile, so time and memory grow with its length alone, and what cannot be read is None.
A forged field is one that anybody might take for ours: case, comments, quotes, a version or a dot change nothing
(RFC 8601 5). RFC 8601 2.2 is the form.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from msgspec import Struct

from postroad.model.address import parse_domain
from postroad.model.errors import AddressError

VALUE_LIMIT: Final = 256  # characters of one value that is written
READ_LIMIT: Final = 64 * 1024  # octets of a field that are read
RESULTS_LIMIT: Final = 100
PROPERTIES_LIMIT: Final = 32  # of one result
_LINE: Final = 78
_ID_LIMIT: Final = 255

_PIECE: Final = re.compile(
    r"""(?P<space> [ \t\r\n]+ ) | "(?P<quoted> (?:[^"\\]|\\.)* )" | (?P<mark> [;=/.()] )
    | (?P<token> [^\s;=/.()"\\]+ )""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT: Final = re.compile(r"\\.|[()]", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_KEYWORD: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?", re.ASCII)
_VALUE: Final = re.compile(r"[A-Za-z0-9!#$%&'*+^_`{|}~@.-]+", re.ASCII)  # needs no quotes
_FORBIDDEN: Final = re.compile(r"[^\x20-\x7e]")
_END: Final = re.compile(rb"\n(?![ \t])")


class Property(Struct, frozen=True, gc=False):
    """What a result is about: `smtp.mailfrom=example.org` is of `kind` "smtp"."""

    kind: str
    name: str
    value: str


class MethodResult(Struct, frozen=True, gc=False):
    """What one check came to; all but `reason` and values is in lower case."""

    method: str
    result: str
    reason: str = ""
    properties: tuple[Property, ...] = ()

    def value(self, kind: str, name: str) -> str:
        """The value of a property, "" when it is not there."""
        return next((one.value for one in self.properties if (one.kind, one.name) == (kind, name)), "")


class AuthenticationResults(Struct, frozen=True, gc=False):
    """One field: who says it, and the results; none is "none"."""

    authserv_id: str
    results: tuple[MethodResult, ...] = ()


# -- writing -----------------------------------------------------------------------------------------------------


def results_field(found: AuthenticationResults) -> str:
    """The field with its CRLFs, folded."""
    lines = [f"Authentication-Results: {_value(found.authserv_id)};"]
    if not found.results:
        return f"{lines[0]} none\r\n"
    for number, one in enumerate(found.results, start=1):
        words = [f"{one.method}={one.result}"]
        if one.reason:
            words.append(f"reason={quoted(one.reason)}")
        words += [f"{entry.kind}.{entry.name}={_value(entry.value)}" for entry in one.properties]
        if number < len(found.results):
            words[-1] += ";"
        line = "\t" + words[0]
        for word in words[1:]:
            if len(line) + len(word) >= _LINE:
                lines.append(line)
                line = "\t " + word
            else:
                line = f"{line} {word}"
        lines.append(line)
    return "\r\n".join(lines) + "\r\n"


def tame(text: str, most: int = VALUE_LIMIT) -> str:
    """`text` as it is written: printable ASCII, `most` characters of it, and without blanks at its ends."""
    return _FORBIDDEN.sub("?", text[:most]).strip(" ")


def quoted(text: str, most: int = VALUE_LIMIT) -> str:
    """`text` as a quoted string, `most` characters of it."""
    text = tame(text, most).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _value(text: str) -> str:
    text = tame(text)
    return text if _VALUE.fullmatch(text) else quoted(text)


# -- reading -----------------------------------------------------------------------------------------------------


def read_results(value: bytes) -> AuthenticationResults | None:
    """What the value of a field says, or None when it cannot be read.

    Results that are broken end it there: what stands before them counts.
    """
    if len(value) > READ_LIMIT:
        return None
    parts = pieces_of(value.decode("utf-8", "replace"))
    if parts is None:
        return None
    head = _words(parts[0])
    if not head or len(head) > 2 or (len(head) == 2 and not head[1].isdecimal()):
        return None
    results: list[MethodResult] = []
    for part in parts[1:][:RESULTS_LIMIT]:
        if not part or (len(part) == 1 and part[0].lower() == "none"):
            continue
        one = _method(part)
        if one is None:
            break
        results.append(one)
    return AuthenticationResults(head[0], tuple(results))


def pieces_of(text: str) -> list[list[str]] | None:
    """The pieces between semicolons, comments and most white space gone; None when a quote or comment is left open.

    A quoted string is a piece that begins with a quotation mark, and white space one that is a blank.
    """
    parts: list[list[str]] = [[]]
    at = 0
    while at < len(text):
        found = _PIECE.match(text, at)
        if found is None:
            return None
        at = found.end()
        kind = found.lastgroup
        piece = found[0]
        if kind == "mark" and piece == "(":
            at = _after_comment(text, at)
            if not at:
                return None
            kind, piece = "space", " "
        if kind == "space":
            if parts[-1] and parts[-1][-1] != " ":
                parts[-1].append(" ")
        elif kind == "quoted":
            parts[-1].append('"' + _ESCAPED.sub(r"\1", found["quoted"].replace("\r\n", "")))
        elif piece == ";":
            parts.append([])
        elif piece == ")":
            return None
        else:
            parts[-1].append(piece)
    for part in parts:
        if part and part[-1] == " ":
            part.pop()
    return parts


def _after_comment(text: str, at: int) -> int:
    """The place behind the comment that began before `at`; comments nest. 0 when it does not end."""
    depth = 1
    while depth:
        found = _COMMENT.search(text, at)
        if found is None:
            return 0
        at = found.end()
        depth += {"(": 1, ")": -1}.get(found[0], 0)
    return at


def _words(part: Sequence[str]) -> list[str]:
    """What stands between blanks, quotes gone."""
    words = [""]
    for piece in part:
        if piece == " ":
            words.append("")
        else:
            words[-1] += piece.removeprefix('"')
    return [word for word in words if word]


def _method(part: Sequence[str]) -> MethodResult | None:
    """`method[/version] = result [reason = value] {ptype.property = value}` (RFC 8601 2.2)."""
    pairs = list(_pairs(part))
    if not pairs or pairs[0] is None:
        return None
    name, result = pairs[0]
    method = name.partition("/")[0]
    if not _KEYWORD.fullmatch(method) or not _KEYWORD.fullmatch(result):
        return None
    reason = ""
    properties: list[Property] = []
    for pair in pairs[1 : PROPERTIES_LIMIT + 2]:
        if pair is None:
            break
        name, value = pair
        if name.lower() == "reason":
            reason = value
            continue
        kind, dot, of = name.partition(".")
        if not dot or not _KEYWORD.fullmatch(kind) or not _KEYWORD.fullmatch(of):
            break
        properties.append(Property(kind.lower(), of.lower(), value))
    return MethodResult(method.lower(), result.lower(), reason, tuple(properties[:PROPERTIES_LIMIT]))


def _pairs(part: Sequence[str]) -> Iterator[tuple[str, str] | None]:
    """Names and values with an equals sign between them, blanks around signs ignored; None where it is broken."""
    at, end = 0, len(part)
    while at < end:
        name: list[str] = []
        while at < end and part[at] != "=":
            piece = part[at]
            if piece.startswith('"'):
                yield None
                return
            if piece != " ":
                if name and part[at - 1] == " " and piece not in "./" and name[-1] not in "./":
                    yield None  # two words before an equals sign
                    return
                name.append(piece)
            at += 1
        at += 1
        while at < end and part[at] == " ":
            at += 1
        start = at
        while at < end and part[at] != " " and (at == start or not part[start].startswith('"')):
            at += 1
        if start >= end:
            yield None
            return
        yield "".join(name), "".join(part[start:at]).removeprefix('"')
        while at < end and part[at] == " ":
            at += 1


# -- forged ones -------------------------------------------------------------------------------------------------


def bearing(section: bytes, authserv_id: str) -> list[tuple[int, int]]:
    """Where fields of a header section are that claim to be of `authserv_id`: from octet to octet, in order.

    So do those that cannot be read and have the name anywhere. Neighbours come as one.
    """
    ours = plain(authserv_id)
    return fields_that(section, b"authentication-results", lambda value: _claims(value, ours))


def fields_that(section: bytes, name: bytes, claims: Callable[[bytes], bool]) -> list[tuple[int, int]]:
    """Where the fields called `name`, in lower case, are whose value `claims`; neighbours come as one."""
    lower = section.lower()
    if name not in lower:
        return []
    found: list[tuple[int, int]] = []
    for start in re.finditer(rb"(?:\A|(?<=\n))%b[ \t]*:" % re.escape(name), lower):
        ending = _END.search(section, start.end())
        end = len(section) if ending is None else ending.end()
        if claims(section[start.end() : end]):
            if found and found[-1][1] == start.start():
                found[-1] = found[-1][0], end
            else:
                found.append((start.start(), end))
    return found


def _claims(value: bytes, ours: str) -> bool:
    if len(value) > READ_LIMIT:
        return True  # nobody honest writes so much
    text = value.decode("utf-8", "replace")
    parts = pieces_of(text)
    if parts is None:
        return ours in text.lower()
    head = "".join(piece.removeprefix('"') for piece in parts[0])
    claimed = re.split(r"[\s/,=]+", head[: 4 * _ID_LIMIT])
    return any(plain(word) == ours for word in (head.replace(" ", ""), *claimed) if word)


def plain(name: str) -> str:
    """A name as it compares: lower case, A-labels, no dot at its end."""
    name = name[: 2 * _ID_LIMIT].lower().rstrip(".")
    if name.isascii():
        return name
    try:
        return parse_domain(name)
    except AddressError:
        return name
