"""The reference pages that come from the code: options, records, replies, policies.

Every sentence is written once, where the thing itself is declared; these functions only lay them out
as Markdown. `postroad.cli.document` adds the page of the commands and writes the files.
"""

from collections.abc import Iterable, Iterator
from types import NoneType
from typing import Final, get_args, get_origin

import msgspec
from msgspec import Struct
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from postroad.config.describe import PLAIN, bounds_text, duration_text, kind_of, value_text
from postroad.config.mistakes import model_of
from postroad.config.schema import Config
from postroad.model import envelope, records, reply, security
from postroad.smtp.replies import CATALOGUE

NOTE: Final = "<!-- Written from the code by `make docs`; change it there. -->"
_REQUIRED: Final = "required"


def configuration_page() -> str:
    """Every option: name, type, default, bounds and sentence."""
    out = [
        NOTE,
        "# Configuration",
        (
            "One TOML file, by default `./postroad.toml`, then `/etc/postroad/postroad.toml`, and every "
            "`conf.d/*.toml` beside it in name order: tables merge, arrays of tables append, a value may be given "
            "once. An unknown key, a wrong type or a contradiction is an error with its file and line; "
            "`postroad check` tells all of them at once."
        ),
        (
            'Durations are text such as `"500ms"`, `"90s"`, `"5m"`, `"4h"`, `"5d"`, `"1w"` or `"never"`; '
            'sizes are octets, or text such as `"10kB"`, `"50MiB"`.'
        ),
        "## At the top",
        *options_table({name: field for name, field in Config.model_fields.items() if not _is_section(field)}),
    ]
    for name, field in Config.model_fields.items():
        if model := model_of(field):
            out += _section(name, field, model)
        elif _is_section(field):
            out += _names(name, field)
    return page_text(out)


def _section(name: str, field: FieldInfo, model: type[BaseModel]) -> Iterator[str]:
    kind = kind_of(field).words
    heading = {"list of tables": f"[[{name}]]", "tables by name": f"[{name}.NAME]"}.get(kind, f"[{name}]")
    yield f"## {heading}"
    sentence = str(field.description)
    if kind != "table":
        default = _default(field)
        sentence += " Required." if default == _REQUIRED else f" Default: {_escaped(default)}."
    yield sentence
    yield from options_table(model.model_fields)


def _is_section(field: FieldInfo) -> bool:
    return model_of(field) is not None or get_origin(field.annotation) is dict


def _names(name: str, field: FieldInfo) -> Iterator[str]:
    """A table whose keys are names that the administrator gives, with plain values."""
    value = get_args(field.annotation)[1]
    yield f"## [{name}]"
    yield str(field.description)
    takes = kind_of(FieldInfo(annotation=value)).words
    yield f"| Option | Takes | Default |\n|---|---|---|\n| `NAME` | {table_cell(takes)} | none |"


def options_table(fields: dict[str, FieldInfo]) -> Iterator[str]:
    """A table of options, as Markdown; nothing when there are none."""
    rows = ["| Option | Takes | Default | What it does |", "|---|---|---|---|"]
    for name, field in fields.items():
        takes = ", ".join(filter(None, (kind_of(field).words, bounds_text(field))))
        cells = (takes, _default(field), str(field.description))
        rows.append(f"| `{name if '.' in name else field.alias or name}` | {' | '.join(map(table_cell, cells))} |")
        if model := model_of(field):
            inner = options_table({f"{name}.{part.alias or key}": part for key, part in model.model_fields.items()})
            rows += [row for table in inner for row in table.split("\n")[2:]]
    yield "\n".join(rows)


def _default(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    if isinstance(extra, dict) and "default" in extra:
        return str(extra["default"])
    if field.default is None:
        return "none"
    if isinstance(field.default, float) and kind_of(field).unit == "duration":
        return f"`{value_text(duration_text(field.default))}`"
    return _REQUIRED if field.default is PydanticUndefined else f"`{value_text(field.default)}`"


def records_page() -> str:
    """Every record with its fields."""
    out = [
        NOTE,
        "# Records",
        (
            'Every fact the server reports is one record. With `log.format = "json"` each is one line, an object whose '
            "key `record` holds the name; keys whose value is the default are left out. "
            "`at` is when it happened, in microseconds since 1970."
        ),
    ]
    for record in all_records():
        out += [f"## {record.__name__}", prose(record.__doc__), _fields(record)]
    for part in (envelope.Origin, reply.Reply, security.Secured):
        out += [f"## Inside a record: {part.__name__}", prose(part.__doc__), _fields(part)]
    return page_text(out)


def all_records() -> list[type[records.Record]]:
    """Every type of record, in the order of their file, then those of the families beside it."""
    found = (entry for entry in vars(records).values() if isinstance(entry, type))
    kinds = [entry for entry in found if issubclass(entry, records.Record) and entry is not records.Record]
    return sorted(kinds, key=lambda kind: kind.__module__ != records.__name__)


def _fields(struct: type[Struct]) -> str:
    fields = sorted(msgspec.structs.fields(struct), key=lambda field: field.name != "at")
    rows = [f"| `{field.name}` | {_type_text(field.type)} |" for field in fields]
    return "\n".join(("| Field | Holds |", "|---|---|", *rows))


def _type_text(annotation: object) -> str:
    parts = get_args(annotation)
    if NoneType in parts:
        return f"{_type_text(next(part for part in parts if part is not NoneType))}, or nothing"
    if get_origin(annotation) is tuple:
        inner = _type_text(parts[0])
        plural = inner if inner == "text" else f"{inner}s"
        return f"list of {plural}" if parts[-1] is Ellipsis else f"{len(parts)} {plural}"
    if isinstance(annotation, type):
        return PLAIN.get(
            annotation, f"a {annotation.__name__}, [below](#inside-a-record-{annotation.__name__.lower()})"
        )
    raise TypeError(f"no words for the field type {annotation!r}")


def replies_page() -> str:
    """Every reply the server can give."""
    rows = ["| Reply | Text | When |", "|---|---|---|"]
    for _, sample, meaning in CATALOGUE:
        head = f"{sample.code} {sample.enhanced}".strip()
        text = "<br>".join(f"`{line}`" for line in sample.text.split("\n"))
        rows.append(f"| {head} | {text} | {table_cell(meaning)} |")
    intro = (
        "Everything the server ever says, with samples for what varies. What a peer reads is bland; the exact reason "
        "of each refusal is in the log. 2xx and 3xx are positive, 4xx ask to try again later, 5xx are final "
        "(RFC 5321 4.2.1); the second column of digits is the enhanced code (RFC 3463 2)."
    )
    return page_text([NOTE, "# Replies", intro, "\n".join(rows)])


def prose(text: str | None) -> str:
    """A docstring as Markdown: each paragraph on one line."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in (text or "").split("\n\n"))


def table_cell(text: str) -> str:
    """`text` in a table: what Markdown would take for its own is escaped outside code."""
    parts = text.split("`")
    parts[::2] = [_escaped(part) for part in parts[::2]]
    return "`".join(parts).replace("|", "\\|")


def _escaped(text: str) -> str:
    for sign in "*_[":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("<", "&lt;")


def page_text(parts: Iterable[str]) -> str:
    """A page of these parts."""
    return "\n\n".join(parts) + "\n"
