"""What a deferral says about when to come back: greylisting, "try again in 5 minutes".

Peers are read in linear time and only as far as `READ` characters: a number with a unit, or h:mm:ss, behind "in",
"after" or "wait", in a text that speaks of coming again. Whether a hint is followed, and how far, is for the
schedule. Pure; pauses are microseconds.
"""

from types import MappingProxyType
from typing import Final

from postroad.model.reply import Reply

READ: Final = 500
GREYLIST_TRIES: Final = 5  # from then on the schedule alone decides
_SECOND: Final = 1_000_000
_UNITS: Final = MappingProxyType(
    {
        **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), _SECOND),
        **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60 * _SECOND),
        **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600 * _SECOND),
    }
)
_BEFORE: Final = frozenset({"in", "after", "wait", "within", "about", "least", "another", "for"})
_AGAIN: Final = ("again", "retry", "come back", "wait", "later", "greylist", "graylist")
_GREY: Final = ("greylist", "graylist", "grey list", "grey-list", "gray list", "gray-list")
_STRIPPED: Final = "()[]<>.,;:!=\"'"


def is_greylisting(reply: Reply, attempts: int) -> bool:
    """True when `reply` to try number `attempts` is greylisting: it says so, or is a first 4.7.1, which mostly is."""
    if reply.code not in (450, 451) or reply.enhanced not in ("4.7.1", "4.2.0"):
        return False
    if attempts == 1 and reply.enhanced == "4.7.1":
        return True
    text = reply.text[:READ].casefold()
    return attempts <= GREYLIST_TRIES and any(word in text for word in _GREY)


def hint_of(text: str) -> int:
    """The pause that `text` asks for; 0 when it asks for none."""
    text = text[:READ].casefold()
    if not any(word in text for word in _AGAIN):
        return 0
    words = [word.strip(_STRIPPED) for word in text.split()]
    for at in range(1, len(words)):
        if words[at - 1] in _BEFORE:
            pause = _pause(words[at], words[at + 1] if at + 1 < len(words) else "")
            if pause:
                return pause
    return 0


def _pause(word: str, unit: str) -> int:
    if ":" in word:
        parts = word.split(":")
        if not 2 <= len(parts) <= 3 or not all(map(_is_number, parts)):
            return 0
        total = 0
        for part in parts:
            total = total * 60 + int(part)
        return total * _SECOND
    if _is_number(word):
        return int(word) * _UNITS.get(unit, 0)
    digits = word.rstrip("abcdefghijklmnopqrstuvwxyz")
    return int(digits) * _UNITS.get(word[len(digits) :], 0) if _is_number(digits) else 0


def _is_number(text: str) -> bool:
    return 0 < len(text) <= 6 and text.isascii() and text.isdigit()
