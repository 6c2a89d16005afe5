"""Lists of which a part may stand in files: one test for all of it, made anew when a file has changed (*pure*).

Whoever reads the file again lets its readers prepare what they make of it first, away from mail that waits for an
answer, and exchanges all of it at once only when none of them found anything wrong.
"""

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from postroad.policy.globs import Build
from postroad.policy.rules.text import Entries

T = TypeVar("T")


class Reader(Protocol):
    """Who makes something of a file's entries."""

    def prepare(self, file: "Texts", texts: Sequence[str]) -> Callable[[], None]:
        """What puts it in force that `file` has `texts`; ValueError tells what is wrong with one."""


class Texts(Protocol):
    """The entries of a file, and who reads them."""

    texts: Sequence[str]
    readers: list[Reader]


FileOf = Callable[[str], Texts]


class Live(Generic[T]):
    """The test of entries that stand in `files` as well."""

    __slots__ = ("_build", "_files", "_texts", "test")

    def __init__(self, texts: Sequence[str], files: Sequence[Texts], build: Build[T]) -> None:
        """Make it of what is there now."""
        self._texts = texts
        self._files = files
        self._build = build
        self.test = build([*texts, *(text for file in files for text in file.texts)])
        for file in files:
            file.readers.append(self)

    def prepare(self, file: Texts, texts: Sequence[str]) -> Callable[[], None]:
        """As `Reader` has it."""
        parts = [texts if one is file else one.texts for one in self._files]
        test = self._build([*self._texts, *(text for part in parts for text in part)])

        def put() -> None:
            self.test = test

        return put

    def holds(self, value: T) -> bool:
        """True when an entry means `value`."""
        return self.test(value)


def listed(entries: Entries, file_of: FileOf, build: Build[T]) -> Callable[[T], bool]:
    """The test of `entries`, those in files included."""
    texts = [one for one in entries if isinstance(one, str)]
    files = [file_of(one.file) for one in entries if not isinstance(one, str)]
    return Live(texts, files, build).holds if files else build(texts)
