"""Queue ids: our name for one accepted message.

Sortable by time, without vowels (no words by accident), safe as a file name, unique over nodes:
nine digits of microseconds and four of the node's number, in base 52, so it reads like a long
Postfix id and the tools that parse those take it. Time and node number come in as parameters.
"""

from typing import Final

ALPHABET: Final = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"
TIME_DIGITS: Final = 9  # 52**9 microseconds reach beyond the year 2050
NODE_DIGITS: Final = 4
NODES: Final = len(ALPHABET) ** NODE_DIGITS


def _digits(number: int, width: int) -> str:
    out = ""
    for _ in range(width):
        number, digit = divmod(number, 52)
        out = ALPHABET[digit] + out
    return out


def is_queue_id(text: str) -> bool:
    """True when `text` has the form of a queue id; use before text from outside becomes part of a path."""
    return len(text) == TIME_DIGITS + NODE_DIGITS and not set(text) - set(ALPHABET)


def instant_of(queue_id: str) -> int:
    """When the id was given out, in microseconds since 1970; 0 for what has not the form of one."""
    if not is_queue_id(queue_id):
        return 0
    number = 0
    for digit in queue_id[:TIME_DIGITS]:
        number = number * 52 + ALPHABET.index(digit)
    return number


class QueueIds:
    """Gives out queue ids that only grow, even if the clock steps back."""

    def __init__(self, node: int) -> None:
        """Begin for `node`, a number that differs between nodes and starts (taken modulo `NODES`)."""
        self._suffix = _digits(node % NODES, NODE_DIGITS)
        self._last = 0
        self._high = -1
        self._high_text = ""

    def new(self, now: int) -> str:
        """The next id for the time `now` in microseconds since 1970."""
        if now <= self._last:
            now = self._last + 1
        self._last = now
        # The upper digits change once in 7 seconds: keep their text.
        high, low = divmod(now, 52**4)
        if high != self._high:
            self._high = high
            self._high_text = _digits(high, TIME_DIGITS - 4)
        alphabet = ALPHABET
        low, d4 = divmod(low, 52)
        low, d3 = divmod(low, 52)
        d1, d2 = divmod(low, 52)
        return f"{self._high_text}{alphabet[d1]}{alphabet[d2]}{alphabet[d3]}{alphabet[d4]}{self._suffix}"
