"""Patterns of text: `*` for any text, `?` for one character, and regular expressions between slashes.

A list of patterns means any of them; one that begins with `!` takes out, so `["*", "!guest"]` is everybody but one.
Letters are compared without regard to case. What is no pattern is looked up, however long the list is; a pattern with
stars costs at most its length times that of the text. Regular expressions are compiled by what the caller brings: an
engine whose time is bounded. Pure.
"""

import fnmatch
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, TypeVar

from msgspec import Struct

Test = Callable[[str], bool]
Compile = Callable[[str], Test]
T = TypeVar("T")
Build = Callable[[Sequence[str]], Callable[[T], bool]]

LIMIT: Final = 1000  # characters of a pattern


def no_regexes(text: str) -> Test:
    """Stands for an engine where there is none: ValueError."""
    raise ValueError(f"{text}: there is no engine for regular expressions here")


class Globs(Struct, frozen=True):
    """Patterns in look-up form."""

    exact: frozenset[str]
    tests: tuple[Test, ...]

    def match(self, text: str) -> bool:
        """True when one of them is all of `text`, a regular expression a part of it."""
        if text.casefold() in self.exact:
            return True
        return any(test(text) for test in self.tests)


def compile_globs(patterns: Iterable[str], compile_regex: Compile = no_regexes) -> Test:
    """The test of `patterns`, without `!`; ValueError tells what is wrong with one."""
    exact: set[str] = set()
    tests: list[Test] = []
    for pattern in patterns:
        check_glob(pattern)
        if is_regex(pattern):
            tests.append(compile_regex(pattern[1:-1]))
        elif pattern == "*":
            tests.insert(0, _always)
        elif "*" in pattern or "?" in pattern:
            tests.append(wildcard(pattern))
        else:
            exact.add(pattern.casefold())
    return Globs(frozenset(exact), tuple(tests)).match


def check_glob(pattern: str) -> None:
    """ValueError when `pattern` can be no pattern."""
    if not pattern:
        raise ValueError("an empty text is no pattern")
    if len(pattern) > LIMIT:
        raise ValueError(f"a pattern has at most {LIMIT} characters")


def is_regex(pattern: str) -> bool:
    """True for "/text/"."""
    return len(pattern) > 2 and pattern[0] == "/" and pattern[-1] == "/"


def wildcard(pattern: str) -> Test:
    """The test of one pattern with `*` and `?`."""
    folded = pattern.casefold()
    inner = folded.strip("*")
    if "*" not in inner and "?" not in inner:  # "*text*" and the like, most of what people write
        if folded == f"*{inner}*":
            return lambda text: inner in text.casefold()
        if folded == f"*{inner}":
            return lambda text: text.casefold().endswith(inner)
        if folded == f"{inner}*":
            return lambda text: text.casefold().startswith(inner)
    # What fnmatch makes of stars does not go back (it matches each part once), so the time is bounded.
    match = re.compile(fnmatch.translate(folded.replace("[", "[[]")), re.DOTALL).match
    return lambda text: match(text.casefold()) is not None


def with_exceptions(texts: Sequence[str], build: Build[T]) -> Callable[[T], bool]:
    """The test of one value: one of `texts` means it (any does, when all begin with `!`), none with `!` does."""
    some, never = _split(texts, build)
    if never is None:
        return build(texts) if some is None else some
    if some is None:
        return lambda value: not never(value)
    return lambda value: some(value) and not never(value)


def over_many(texts: Sequence[str], build: Build[T]) -> Callable[[Collection[T]], bool]:
    """The test of several values: one of `texts` means one of them, and none with `!` means any."""
    some, never = _split(texts, build)
    if never is None:
        test = build(texts) if some is None else some
        return lambda values: any(map(test, values))
    if some is None:
        return lambda values: not any(map(never, values))
    return lambda values: any(map(some, values)) and not any(map(never, values))


def _split(texts: Sequence[str], build: Build[T]) -> tuple[Callable[[T], bool] | None, Callable[[T], bool] | None]:
    taken_out = [text[1:] for text in texts if text.startswith("!")]
    others = [text for text in texts if not text.startswith("!")]
    return build(others) if others else None, build(taken_out) if taken_out else None


def _always(_text: str) -> bool:
    return True
