"""An imported configuration as TOML that passes our check: what the check objects to goes, and is listed.

The file is written beside its final name, checked there like any configuration, and moved into place.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from postroad.config.load import inspect_config
from postroad.config.locate import KeyPath
from postroad.config.postfix.importing import Imported
from postroad.config.problem import Problem, path_text
from postroad.model.errors import ConfigError

_ROUNDS: Final = 200  # each takes at least one thing out


def write_checked(imported: Imported, file: Path, source: Path) -> list[str]:
    """Write `imported` to `file`; everything that was left behind. ConfigError when nothing sound remains."""
    data: dict[str, object] = {
        **imported.top,
        **{name: table for name, table in imported.sections.items() if table},
        "policies": imported.policies,
        "aliases": imported.aliases,
        "routes": imported.routes,
    }
    left = list(imported.left)
    draft = file.with_name(f"{file.name}.new")
    try:
        for _ in range(_ROUNDS):
            draft.write_text(_document(data, left, source), "utf-8")
            loaded = inspect_config(draft)
            if loaded.config is not None:
                draft.replace(file)
                return left
            for problem in sorted(loaded.problems, key=_place, reverse=True):
                left.append(f"{path_text(problem.path)}: {problem.text}")
                if not _take_out(data, problem.path):
                    raise ConfigError(loaded.lines(loaded.problems))
        raise ConfigError([f"{source}: too much in it is not sound"])
    finally:
        draft.unlink(missing_ok=True)


def _place(problem: Problem) -> list[str]:
    """Sorts problems so that those behind come after those before."""
    return [str(part).zfill(9) for part in problem.path]


def _take_out(data: dict[str, object], path: KeyPath) -> bool:
    """Remove what a problem is about: one of several values, else its route, table or option."""
    steps = list(_steps(data, path))
    while len(steps) > 1 and not _may_go(steps):
        steps.pop()
    if not steps:
        return False
    steps[-1].remove()
    if not data.get("listeners"):
        data["listeners"] = {"mx": {"bind": ["127.0.0.1:25"]}}
    return True


class _Step(Struct):
    """A place in a document: a table or a list, and what in it."""

    holder: dict[str, object] | list[object]
    key: str | int

    def inner(self) -> object:
        """What is there; None when there is nothing."""
        if isinstance(self.holder, dict):
            return self.holder.get(str(self.key))
        return self.holder[self.key] if isinstance(self.key, int) and self.key < len(self.holder) else None

    def remove(self) -> None:
        """Take it out."""
        if isinstance(self.holder, dict):
            del self.holder[str(self.key)]
        elif isinstance(self.key, int):
            del self.holder[self.key]


def _steps(data: dict[str, object], path: KeyPath) -> Iterator[_Step]:
    """The way to `path`, as far as it goes."""
    holder: object = data
    for part in path:
        if not isinstance(holder, dict | list):
            return
        step = _Step(holder, part)
        holder = step.inner()
        if holder is None:
            return
        yield step


def _may_go(steps: list[_Step]) -> bool:
    """True when the last can be missing: not the only value of a list, and no option of a route, table or listener."""
    holder = steps[-1].holder
    if isinstance(holder, list):
        return len(holder) > 1 or len(steps) == 2
    return len(steps) == 2 or steps[0].key not in {"routes", "aliases", "policies", "listeners"}


def _document(data: Mapping[str, object], left: list[str], source: Path) -> str:
    return "\n".join(_lines(data, left, source)) + "\n"


def _lines(data: Mapping[str, object], left: list[str], source: Path) -> Iterator[str]:
    yield f"# Made from the Postfix configuration in {_one_line(str(source))}."
    if left:
        yield "#\n# Not carried over:"
        yield from (f"# - {_one_line(line)}" for line in left)
    for key, value in data.items():
        if not isinstance(value, (dict, list)):
            yield f"{key} = {_value(value)}"
    for key, value in data.items():
        if key == "listeners" and isinstance(value, dict):
            for name, table in value.items():
                yield from _table(f"[listeners.{name}]", table)
        elif isinstance(value, dict):
            yield from _table(f"[{key}]", value)
        elif isinstance(value, list):
            for table in value:
                yield from _table(f"[[{key}]]", table)


def _table(head: str, table: Mapping[str, object]) -> Iterator[str]:
    yield ""
    yield head
    for key, value in table.items():
        yield f"{key} = {_value(value)}"


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value).replace("\x7f", "\\u007f")
    return json.dumps(value)


def _one_line(text: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in text)[:300]
