"""The reference page of the API, laid out from its OpenAPI document. Pure.

Invariant: nothing is said here that the document does not say, so page, document and decoder cannot differ.
"""

from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Struct, field

from postroad.api import problem
from postroad.api.openapi import document
from postroad.api.schema import Problem

_INTRODUCTION: Final = (
    "What `[api]` serves; how it is used is told in [Send mail over HTTP](../howto/send-by-http.md). The server has "
    "all of this as an OpenAPI 3.1 document at `/openapi.json`, for which no key is needed. Every other request has "
    "`Authorization: Bearer KEY`. Unknown fields are errors."
)


class _Field(Struct, frozen=True):
    """One field in JSON Schema, as far as it is shown."""

    description: str = ""
    kind: str = field(name="type", default="")
    ref: str = field(name="$ref", default="")
    any_of: tuple["_Field", ...] = field(name="anyOf", default=())
    items: "_Field | bool | None" = None
    values: "_Field | bool | None" = field(name="additionalProperties", default=None)
    enum: tuple[str, ...] = ()
    encoding: str = field(name="contentEncoding", default="")
    longest: int = field(name="maxLength", default=0)
    most: int = field(name="maxItems", default=0)


class _Object(Struct, frozen=True):
    """One type."""

    description: str = ""
    properties: dict[str, _Field] = {}
    required: tuple[str, ...] = ()


class _Components(Struct, frozen=True):
    """All of them."""

    schemas: dict[str, _Object]


class _Words(Struct, frozen=True):
    """An answer's meaning."""

    description: str


class _Operation(Struct, frozen=True):
    """What can be asked."""

    summary: str
    responses: dict[str, _Words]
    description: str = ""


class _Document(Struct, frozen=True):
    """The document."""

    paths: dict[str, dict[str, _Operation]]
    components: _Components


def api_text() -> str:
    """The page, without its first line."""
    whole = msgspec.json.decode(document(), type=_Document)
    out = ["# HTTP API", _INTRODUCTION]
    for path, operations in whole.paths.items():
        for method, operation in operations.items():
            out += _operation(f"{method.upper()} {path}", operation)
    out += ["## Problems", "The `type` of a problem, and its status.", _problems(), "## Types"]
    for name, kind in sorted(whole.components.schemas.items()):
        out += _type(name, kind)
    return "\n\n".join(out) + "\n"


def _operation(name: str, operation: _Operation) -> Iterator[str]:
    yield f"## {name}"
    yield f"{operation.summary}. {operation.description}".strip()
    rows = ["| Status | Meaning |", "|---|---|"]
    yield "\n".join(
        [*rows, *(f"| {status} | {_cell(one.description)} |" for status, one in operation.responses.items())]
    )


def _problems() -> str:
    known = [one for one in vars(problem).values() if isinstance(one, Problem)]
    rows = [
        f"| `{one.type}` | {one.status} | {_cell(one.title)}. |" for one in sorted(known, key=lambda one: one.status)
    ]
    return "\n".join(["| Type | Status | Meaning |", "|---|---|---|", *rows])


def _type(name: str, kind: _Object) -> Iterator[str]:
    yield f"### {name}"
    yield kind.description
    rows = ["| Field | Type | |", "|---|---|---|"]
    for one, about in kind.properties.items():
        words = " ".join((("**Required.** " if one in kind.required else "") + about.description).split())
        rows.append(f"| `{one}` | {_cell(_words(about))} | {_cell(words)} |")
    yield "\n".join(rows)


def _words(about: _Field) -> str:
    """A type in words."""
    if about.any_of:
        return " or ".join(dict.fromkeys(_words(one) for one in about.any_of))
    if about.ref:
        name = about.ref.rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if about.enum:
        return ", ".join(f"`{msgspec.json.encode(one).decode()}`" for one in about.enum)
    bound = f" of at most {about.longest or about.most}" if about.longest or about.most else ""
    match about.kind:
        case "array":
            inner = f": {_words(about.items)}" if isinstance(about.items, _Field) else ""
            return f"list{bound}{inner}"
        case "object":
            inner = _words(about.values) if isinstance(about.values, _Field) else ""
            return f"table of {inner or 'anything'}"
        case "string":
            return "base64" if about.encoding else f"text{bound}"
        case "integer":
            return "number"
        case _:
            return about.kind or "anything"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
