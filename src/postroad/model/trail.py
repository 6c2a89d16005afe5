"""The trail of a recipient: its last attempts, each with its time, whom it asked and what it was told.

Kept as one text, a line an attempt, so that it travels through journal, index and memory as it is: "at TAB
target TAB command TAB reply", times in microseconds since 1970. An attempt that ended like the one before it
is its time alone. Bounded in attempts and in what one of them may say. Pure.
"""

from typing import Final

from msgspec import Struct

KEPT: Final = 20  # attempts; the default retry schedule makes 35 in its five days
WORDS_LIMIT: Final = 500  # characters kept of a reply


class Attempt(Struct, frozen=True, gc=False):
    """One attempt: `target` as "host[address]:port", `command` what `reply` answers; both empty for our own words."""

    at: int
    target: str
    command: str
    reply: str


def extend(trail: str, attempt: Attempt) -> str:
    """`trail` with one more attempt, without the oldest ones when it becomes too long."""
    words = "\t".join(map(_clean, (attempt.target, attempt.command, attempt.reply)))
    lines = trail.split("\n") if trail else []
    before = next((line for line in reversed(lines) if "\t" in line), "").partition("\t")[2]
    lines.append(str(attempt.at) if words == before else f"{attempt.at}\t{words}")
    while len(lines) > KEPT:
        first = lines.pop(0)
        if "\t" not in lines[0]:
            lines[0] += first[first.index("\t") :]
    return "\n".join(lines)


def attempts_of(trail: str) -> list[Attempt]:
    """The attempts of a trail, oldest first; lines that make no sense are left out."""
    found: list[Attempt] = []
    words: list[str] = []
    for line in trail.split("\n"):
        at, *said = line.split("\t")
        words = said or words
        if at.isascii() and at.isdigit() and len(words) == 3:
            found.append(Attempt(int(at), *words))
    return found


def _clean(text: str) -> str:
    """`text` on one line, short enough, and fit for UTF-8."""
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode()
    return " ".join(text.split())[:WORDS_LIMIT]
