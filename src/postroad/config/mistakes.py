"""Pydantic's findings in our words (pure): the offending value, what is accepted, and the nearest known name.

One finding becomes one `Problem`; what a finding is about is looked up in the settings themselves,
so bounds read in the option's own unit ("at least 5m").
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, ValidationError

from postroad.config.describe import bounds_text, kind_of, value_text
from postroad.config.locate import KeyPath
from postroad.config.problem import Problem, path_text
from postroad.config.schema import Config

_SHOWN: Final = 80  # octets of an offending value worth repeating
_UNION_MEMBERS: Final = ("is-instance[", "lax-or-strict[", "ipv4network", "ipv6network")
_FORMS: Final = ("<text>", "<table>")  # how an option that takes either was written
Root = type[BaseModel]  # the whole configuration, or the options of one policy
_FOLLOWS: Final = "default_factory_not_called"  # only says that another finding exists


def problems_of(error: ValidationError, data: Mapping[str, object], root: Root = Config) -> list[Problem]:
    """Every finding of `error` about `data`, which should be a `root`, each once."""
    found: dict[tuple[KeyPath, str], Problem] = {}
    for detail in error.errors(include_url=False):
        if detail["type"] != _FOLLOWS:
            problem = _problem(detail, data, root)
            found.setdefault((problem.path, problem.text), problem)
    # "At least 1 given" about a list whose elements are wrong would only repeat them.
    around = {problem.path[:length] for problem in found.values() for length in range(len(problem.path))}
    return [problem for problem in found.values() if problem.path not in around]


def _problem(detail: ErrorDetails, data: Mapping[str, object], root: Root) -> Problem:
    path = _written_path(detail["loc"], data)
    match detail["type"]:
        case "extra_forbidden":
            return Problem(path, "unknown key" + _suggestion(path, root))
        case "missing":
            return Problem(path, "is required")
        case "value_error":
            return Problem(path, f"{_shown(path, detail, data, root)}: {detail['ctx']['error']}")
        case _:
            return Problem(path, f"{_shown(path, detail, data, root)}: expected {_expected(path, detail, root)}")


def _written_path(loc: tuple[str | int, ...], data: Mapping[str, object]) -> KeyPath:
    # Pydantic adds "[key]" behind the name of a table whose name is wrong, the member of a union that it tried, and
    # the place in a list that was made from a single text.
    kept: list[str | int] = []
    value: object = data
    for part in loc:
        if isinstance(part, str) and (part == "[key]" or part.startswith(_UNION_MEMBERS)):
            break
        if part in _FORMS:
            continue
        if isinstance(part, int) and isinstance(value, str):
            break
        if isinstance(part, int) and isinstance(value, Mapping):
            continue  # the place in a list that was made from a single table
        if isinstance(value, tuple) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            value = value.get(part) if isinstance(value, Mapping) else None
        kept.append(part)
    return tuple(kept)


def _shown(path: KeyPath, detail: ErrorDetails, data: Mapping[str, object], root: Root) -> str:
    """The offending value as it was written, or as it was made when nothing was written; a secret is not shown."""
    is_key = detail["loc"][-1:] == ("[key]",)
    if not is_key and (field := field_at(path, root)) is not None and kind_of(field).unit == "secret":
        return "(a secret, not shown)"
    value: object = data
    for part in path:
        if isinstance(value, tuple) and isinstance(part, int):
            value = value[part]
            continue
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        else:
            return f"{value_text(detail['input'])} (by default; set it)"
    text = value_text(path[-1] if is_key else value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _expected(path: KeyPath, detail: ErrorDetails, root: Root) -> str:
    field = field_at(path, root)
    is_entry = not isinstance(path[-1], int) and field is field_at(path[:-1], root)  # of an option with values by name
    if field is None or (is_entry and "than" in detail["type"]):
        return detail["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    words = kind_of(field).words
    if is_entry:
        return words.removesuffix(" by name")
    if path and isinstance(path[-1], int):
        return words.removeprefix("list of ").removesuffix("s")
    bounds = bounds_text(field)
    return f"{words}, {bounds}" if bounds else words


def field_at(path: KeyPath, root: Root = Config) -> FieldInfo | None:
    """The declaration of the option at `path`, or of the list it is an element of; None when there is none."""
    model: type[BaseModel] | None = root
    field: FieldInfo | None = None
    for part in path:
        if isinstance(part, int):
            continue
        if model is None:
            if field is not None and kind_of(field).words.endswith(" by name"):
                continue  # `part` is the name of an entry
            return None
        if field is not None and kind_of(field).words == "tables by name":
            field = None  # `part` is the table's name
            continue
        field = model.model_fields.get(part)
        if field is None:
            return None
        model = model_of(field)
    return field


def model_of(field: FieldInfo) -> type[BaseModel] | None:
    """The settings that `field` holds, alone, as list elements or by name; None for a plain option."""
    parts: list[object] = [field.annotation]
    while parts:
        part = parts.pop(0)
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part
        parts += get_args(part)
    return None


def _suggestion(path: KeyPath, root: Root) -> str:
    *around, key = path
    known = _keys_in(tuple(around), root)
    if near := get_close_matches(str(key), known, 1, 0.65):
        return f"; did you mean {path_text((*around, near[0]))}?"
    everywhere: dict[str, str] = {}
    for section, field in root.model_fields.items():
        for name in getattr(model_of(field), "model_fields", {}):
            everywhere.setdefault(name, f"{section}{_step(field)}.{name}")
    if near := get_close_matches(str(key), [*everywhere, *root.model_fields], 1, 0.8):
        return f"; did you mean {everywhere.get(near[0], near[0])}?"
    return f"; known here: {', '.join(sorted(known))}" if known else ""


def _step(field: FieldInfo) -> str:
    match kind_of(field).words:
        case "tables by name":
            return ".NAME"
        case "list of tables":
            return "[]"
        case _:
            return ""


def _keys_in(path: KeyPath, root: Root) -> list[str]:
    if not path:
        return list(root.model_fields)
    field = field_at(path, root) or root.model_fields.get(str(path[0]))
    return list(getattr(model_of(field), "model_fields", {})) if field is not None else []
