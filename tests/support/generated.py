"""Messages made by dice: every shape that header sections and bodies take, the odd ones more often than in life."""

from collections.abc import Iterator
from random import Random

_NAMES = ("To", "Cc", "Subject", "Date", "Message-ID", "Reply-To", "List-Id", "MIME-Version", "Content-Type", "X-Odd")
_WORDS = ("one", "two  two", "x" * 70, "ü", "a;b=c", "=?utf-8?q?=E4?=", "<a@example.net>", "\t", " ", "\x7f", "7bit")
_FOLDS = (" ", "\t", "\r\n ", "\r\n\t", "  ", " \r\n  ", "")
_BODY = ("", "", " ", "\t", "line", "line ", "two  words", " in", "\tin\t", ".", "..", "x" * 300, "ü", "-- ", "From x")


def messages(count: int, seed: int, *, odd: bool = True, spaced: bool = True) -> Iterator[bytes]:
    """So many messages, the same for a seed; without `odd` ones, all are as a careful writer makes them.

    `spaced`: some odd ones have a space before a colon (RFC 5322 4.5).
    """
    dice = Random(seed)
    for _ in range(count):
        fields = [_field(dice, "From", odd=odd, spaced=spaced)]
        fields += [_field(dice, dice.choice(_NAMES), odd=odd, spaced=spaced) for _ in range(dice.randrange(9))]
        dice.shuffle(fields)
        lines = dice.choices(_BODY, k=dice.randrange(12))
        body = "".join(line + "\r\n" for line in lines)
        yield ("\r\n".join(fields) + "\r\n\r\n" + body).encode()


def _field(dice: Random, name: str, *, odd: bool, spaced: bool) -> str:
    if odd:
        name = dice.choice((name, name.lower(), name.upper(), name + " " if spaced else name))
    value = dice.choice((" ", " ", "", "\r\n ")) if odd else " "
    value += "<joe@example.com>" if name.strip().lower() == "from" else "v"
    for _ in range(dice.randrange(6)):
        value += dice.choice(_FOLDS if odd else _FOLDS[:4]) + dice.choice(_WORDS if odd else _WORDS[:6])
    if odd and dice.random() < 0.2:
        value += dice.choice((" ", "\t ", "\r\n "))
    return f"{name}:{value}"
