"""A mistake or a doubt about the configuration, with the place it is about (pure).

Every check of the configuration yields these; `render` is the one form in which people see them.
"""

from msgspec import Struct

from postroad.config.locate import KeyPath


class Place(Struct, frozen=True, gc=False):
    """Where something is written: the file's path as given, and the line from 1, or 0 for the whole file."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        """`file:line`, as editors and compilers have it."""
        return f"{self.file}:{self.line}" if self.line else self.file


Places = dict[KeyPath, Place]


class Problem(Struct, frozen=True, gc=False):
    """What is wrong at `path`, in words for people; for a file as a whole `path` is () and `place` tells which."""

    path: KeyPath
    text: str
    place: Place | None = None


class Warned(Problem, frozen=True, gc=False):
    """A doubt: told, but it stops nothing."""


def path_text(path: KeyPath) -> str:
    """`listeners.mx.bind[0]` for ("listeners", "mx", "bind", 0)."""
    out = ""
    for part in path:
        if isinstance(part, int):
            out += f"[{part}]"
        else:
            plain = part and part.replace("-", "").replace("_", "").isalnum() and part.isascii()
            out += f"{'.' if out else ''}{part if plain else repr(part)}"
    return out


def place_of(path: KeyPath, places: Places) -> Place:
    """Where `path` stands, or the nearest thing around it that is written down."""
    for length in range(len(path), 0, -1):
        if found := places.get(path[:length]):
            return found
    return places.get((), Place("configuration"))


def render(problem: Problem, places: Places) -> str:
    """`file:line: path: text`, one line."""
    head = f"{problem.place or place_of(problem.path, places)}: "
    return f"{head}{path_text(problem.path)}: {problem.text}" if problem.path else head + problem.text
