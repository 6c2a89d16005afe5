"""The configuration's files, read and merged into one document that knows where each value stands.

The main file first, then `conf.d/*.toml` beside it in name order: tables merge, arrays of tables
append, and a value given twice is a mistake. Arrays become tuples, as the settings have them.
"""

import tomllib
from pathlib import Path
from typing import Final

from msgspec import Struct

from postroad.config.locate import KeyPath, locate
from postroad.config.problem import Place, Places, Problem

_AT: Final = " (at "  # tomllib ends its messages with "(at line 3, column 5)"


class Document(Struct):
    """What the files say, where, and what is wrong with that already."""

    data: dict[str, object]
    places: Places
    problems: list[Problem]


def read_document(file: Path) -> Document:
    """The merged document of `file` and its conf.d; unreadable or malformed files are among its problems."""
    document = Document({}, {(): Place(str(file))}, [])
    for part in (file, *sorted((file.parent / "conf.d").glob("*.toml"))):
        _add_file(document, part)
    return document


def _add_file(document: Document, file: Path) -> None:
    try:
        raw = file.read_bytes()
        text = raw.decode("utf-8").replace("\r\n", "\n")
        table = tomllib.loads(text)
    except OSError as error:
        _fault(document, Place(str(file)), f"cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        _fault(document, Place(str(file), raw.count(b"\n", 0, error.start) + 1), "is not UTF-8 text")
    except tomllib.TOMLDecodeError as error:
        words, _, where = str(error).rpartition(_AT)
        _fault(document, Place(str(file), _line_of(where, text)), f"is not TOML: {words or where}")
    else:
        _Merge(document, str(file), locate(text)).table(document.data, table, (), ())


def _fault(document: Document, place: Place, text: str) -> None:
    document.problems.append(Problem((), text, place))


def _line_of(where: str, text: str) -> int:
    """The line in "line 3, column 5)" or "end of document)"."""
    word, _, rest = where.partition(" ")
    number = rest.partition(",")[0]
    return int(number) if word == "line" and number.isdigit() else text.count("\n") + (not text.endswith("\n"))


class _Merge:
    """One file on its way into the document; `path` is the place in the document, `own` the place in the file."""

    def __init__(self, document: Document, file: str, lines: dict[KeyPath, int]) -> None:
        self.document = document
        self.file = file
        self.lines = lines

    def table(self, into: dict[str, object], table: dict[str, object], path: KeyPath, own: KeyPath) -> None:
        """Merge `table` into `into`."""
        for key, value in table.items():
            there, here = (*path, key), (*own, key)
            old = into.get(key)
            if key not in into:
                into[key] = self.value(value, there, here)
            elif isinstance(old, dict) and isinstance(value, dict):
                self.table(old, value, there, here)
            elif _is_tables(old) and _is_tables(value) and isinstance(old, tuple) and isinstance(value, list):
                count = len(old)
                added = tuple(self.value(part, (*there, count + at), (*here, at)) for at, part in enumerate(value))
                into[key] = old + added
            else:
                self.document.problems.append(Problem(there, f"is given again at {self.place(here)}; give it once"))

    def value(self, value: object, path: KeyPath, own: KeyPath) -> object:
        """`value` with tuples for lists, its places noted."""
        self.document.places[path] = self.place(own)
        if isinstance(value, dict):
            return {key: self.value(part, (*path, key), (*own, key)) for key, part in value.items()}
        if isinstance(value, list):
            return tuple(self.value(part, (*path, at), (*own, at)) for at, part in enumerate(value))
        return value

    def place(self, own: KeyPath) -> Place:
        """Where `own` stands in this file."""
        return Place(self.file, self.lines[own])


def _is_tables(value: object) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(part, dict) for part in value)
