"""Where in a TOML text each key stands (pure): the line numbers that `tomllib` does not give.

Reads text that `tomllib` has already accepted, so it only has to find its way, never to judge:
headers, arrays of tables, dotted and quoted keys, strings of all four kinds, nested arrays and
inline tables. A path is a tuple of keys and indices, as in ("listeners", "mx", "bind", 0).
"""

import tomllib
from typing import Final

KeyPath = tuple[str | int, ...]
Lines = dict[KeyPath, int]

_SPACE: Final = " \t"
_BLANK: Final = " \t\r\n"
_BARE_END: Final = " \t\r\n,]}#"


def locate(text: str) -> Lines:
    """The line, from 1, of every key, table and array element of the valid TOML `text`."""
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


class _Scanner:
    """A cursor over the text; each method leaves it just behind what it has read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: Lines = {}
        self._counts: dict[KeyPath, int] = {}  # arrays of tables: how many elements so far
        self._counted_at = 0
        self._line = 1

    def line(self) -> int:
        """The cursor's line; the cursor never moves back, so newlines are counted once."""
        self._line += self.text.count("\n", self._counted_at, self.at)
        self._counted_at = self.at
        return self._line

    def document(self) -> None:
        """All of it: headers, and pairs below the last header."""
        base: KeyPath = ()
        while self.skip(_BLANK):
            if self.text.startswith("[[", self.at):
                base = self.header(2)
            elif self.text[self.at] == "[":
                base = self.header(1)
            else:
                self.pair(base)

    def skip(self, signs: str) -> bool:
        """Past `signs` and comments; False at the end of the text."""
        while self.at < len(self.text):
            sign = self.text[self.at]
            if sign == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif sign in signs:
                self.at += 1
            else:
                return True
        return False

    def header(self, brackets: int) -> KeyPath:
        """A table's or array element's header: its path, with the current index of each array."""
        line = self.line()
        self.at += brackets
        keys = self.key()
        self.at += brackets
        path: KeyPath = ()
        for key in keys[:-1]:
            path = self.current((*path, key))
        path = (*path, keys[-1])
        if brackets == 1:
            self.note(path, line)
            return path
        self.note(path, line)
        index = self._counts.get(path, 0)
        self._counts[path] = index + 1
        path = (*path, index)
        self.note(path, line)
        return path

    def current(self, path: KeyPath) -> KeyPath:
        """`path`, with the index of its last element when it is an array of tables."""
        count = self._counts.get(path)
        return path if count is None else (*path, count - 1)

    def note(self, path: KeyPath, line: int) -> None:
        """Remember the first place of `path`, and of the tables that dotted keys open on the way."""
        for length in range(1, len(path) + 1):
            self.lines.setdefault(path[:length], line)

    def key(self) -> list[str]:
        """A dotted key: its parts."""
        parts = []
        while True:
            self.skip(_SPACE)
            begin = self.at
            if self.text[begin] in "\"'":
                self.string()
                parts.append(_unquote(self.text[begin : self.at]))
            else:
                while self.text[self.at] not in " \t.=]":
                    self.at += 1
                parts.append(self.text[begin : self.at])
            self.skip(_SPACE)
            if self.text[self.at] != ".":
                return parts
            self.at += 1

    def pair(self, base: KeyPath) -> None:
        """`key = value` below `base`."""
        line = self.line()
        path: KeyPath = (*base, *self.key())
        self.note(path, line)
        self.at += 1  # the equals sign
        self.skip(_SPACE)
        self.value(path)

    def value(self, path: KeyPath) -> None:
        """One value; nested ones note their own places."""
        match self.text[self.at]:
            case "[":
                self.array(path)
            case "{":
                self.inline_table(path)
            case '"' | "'":
                self.string()
            case _:
                while self.at < len(self.text) and self.text[self.at] not in _BARE_END:
                    self.at += 1
                # A date and its time may be parted by a space: what follows it is a digit.
                if self.text[self.at : self.at + 1] == " " and self.text[self.at + 1 : self.at + 2].isdigit():
                    self.at += 1
                    self.value(path)

    def array(self, path: KeyPath) -> None:
        """An array, over as many lines as it takes."""
        self.at += 1
        index = 0
        while self.skip(_BLANK + ",") and self.text[self.at] != "]":
            self.note((*path, index), self.line())
            self.value((*path, index))
            index += 1
        self.at += 1

    def inline_table(self, path: KeyPath) -> None:
        """An inline table."""
        self.at += 1
        while self.skip(_BLANK + ",") and self.text[self.at] != "}":
            self.pair(path)
        self.at += 1

    def string(self) -> None:
        """A string of any kind."""
        quote = self.text[self.at]
        if self.text.startswith(quote * 3, self.at):
            self.at += 3
            while not self.text.startswith(quote * 3, self.at):
                self.at += 2 if quote == '"' and self.text[self.at] == "\\" else 1
            self.at += 3
            while self.text[self.at : self.at + 1] == quote:  # up to two quotes may stand before the closing three
                self.at += 1
            return
        self.at += 1
        while self.text[self.at] != quote:
            self.at += 2 if quote == '"' and self.text[self.at] == "\\" else 1
        self.at += 1


def _unquote(text: str) -> str:
    (value,) = tomllib.loads(f"{text} = 0")
    return value
