"""Received-SPF: what SPF said of one message, written once, and found where somebody forged one in our name (*pure*).

Whatever a client calls itself and a domain publishes, what is written is one field, folded, in printable ASCII and of
bounded length: values are quoted where they must be and cut where they are long. RFC 7208 9.1 is the form.
"""

import re
from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from postroad.mailauth.results import READ_LIMIT, fields_that, pieces_of, plain, quoted, tame
from postroad.model.address import DOMAIN_LIMIT, LOCAL_LIMIT

_LINE: Final = 78
_ADDRESS: Final = LOCAL_LIMIT + DOMAIN_LIMIT + 1
_CLAIM: Final = 600  # pieces of a value that may be a name
_PLAIN: Final = re.compile(r"[A-Za-z0-9+~?/_-]+(?:\.[A-Za-z0-9+~?/_-]+)*", re.ASCII)  # of dot-atom what all can read
_TAMED: Final = MappingProxyType({ord("("): "[", ord(")"): "]", ord("\\"): "/"})  # simple readers end a comment at ")"
_COMMENT: Final = re.compile(r"\(\s*([^\s:()]{1,255})\s*:")  # "(mx.example.com: ...", as others write it


class ReceivedSpf(Struct, frozen=True, gc=False):
    """One field: `result` is a word of RFC 7208 2.6, `mechanism` what decided, `problem` why there is no better result.

    `sender` "" is the null reverse-path. What is "" of `comment`, `helo`, `mechanism` and `problem` is not told.
    """

    result: str
    receiver: str
    identity: str
    client: str
    sender: str
    helo: str = ""
    mechanism: str = ""
    problem: str = ""
    comment: str = ""


def received_spf(found: ReceivedSpf) -> str:
    """The field with its CRLFs, folded."""
    words = [found.result, *_comment(found)]
    told = list(_told(found))
    words += [f"{pair};" for pair in told[:-1]] + told[-1:]
    lines = ["Received-SPF:"]
    for word in words:
        if len(lines[-1]) + len(word) >= _LINE:
            lines.append("\t" + word)
        else:
            lines[-1] += f" {word}"
    return "\r\n".join(lines) + "\r\n"


def _comment(found: ReceivedSpf) -> Sequence[str]:
    text = tame(found.comment)
    words = f"{tame(found.receiver)}: {text}".translate(_TAMED).split()
    return f"({' '.join(words)})".split(" ") if text else ()


def _told(found: ReceivedSpf) -> Iterator[str]:
    yield f"receiver={_value(found.receiver)}"
    yield f"identity={_value(found.identity)}"
    yield f"client-ip={_value(found.client)}"
    yield f"envelope-from={_value(found.sender or '<>', _ADDRESS)}"
    for name, text in (("helo", found.helo), ("mechanism", found.mechanism), ("problem", found.problem)):
        if text:
            yield f"{name}={_value(text)}"


def _value(text: str, most: int = DOMAIN_LIMIT) -> str:
    return text if len(text) <= most and _PLAIN.fullmatch(text) else quoted(text, most)


# -- forged ones -------------------------------------------------------------------------------------------------


def naming(section: bytes, receiver: str) -> list[tuple[int, int]]:
    """Where fields of a header section are that say that `receiver` wrote them: from octet to octet, in order.

    So do those that cannot be read and have the name anywhere. Neighbours come as one.
    """
    ours = plain(receiver)
    return fields_that(section, b"received-spf", lambda value: _names(value, ours))


def _names(value: bytes, ours: str) -> bool:
    if len(value) > READ_LIMIT:
        return True  # nobody honest writes so much
    text = value.decode("utf-8", "replace")
    parts = pieces_of(text)
    if parts is None:
        return ours in text.lower()
    claimed = [name for part in parts for name in _receivers(part)]
    claimed += _COMMENT.findall(text.replace("\\", ""))
    return any(plain(name) == ours for name in claimed)


def _receivers(part: Sequence[str]) -> Iterator[str]:
    """What may be the value of a key `receiver`: the word behind its equals sign, or all of it without white space."""
    before = ""
    for at, piece in enumerate(part):
        if piece == "=" and before.lower() == "receiver":
            behind = [one.removeprefix('"') for one in part[at + 1 : at + _CLAIM]]
            while behind and behind[0] == " ":
                del behind[0]
            yield "".join(behind[: behind.index(" ")] if " " in behind else behind)
            yield "".join(behind).replace(" ", "")
        if piece != " ":
            before = piece.removeprefix('"')
