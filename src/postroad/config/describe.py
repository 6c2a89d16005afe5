"""Options in words for people: types, bounds and values, as error messages and the reference pages have them (pure).

Works from the pydantic declarations alone, so that an option is described in one place: its own.
"""

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import PurePath
from types import MappingProxyType, UnionType
from typing import Annotated, Final, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen
from msgspec import Struct
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from postroad.model.option import NEVER, parse_duration, parse_secret, parse_size

_UNITS: Final = (("d", 86400), ("h", 3600), ("m", 60))
_SIZES: Final = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))
PLAIN: Final = MappingProxyType({str: "text", int: "whole number", float: "number", bool: "true or false"})


def duration_text(seconds: float) -> str:
    """The text of a duration, "5m" for 300.0: the shortest exact form `parse_duration` takes."""
    if seconds == NEVER:
        return "never"
    for unit, factor in _UNITS:
        if seconds >= factor and seconds % factor == 0:
            return f"{seconds / factor:.12g}{unit}"
    return f"{seconds:.12g}s" if seconds >= 1 or seconds == 0 else f"{seconds * 1000:.12g}ms"


def size_text(octets: int) -> str:
    """The text of a size, "50MiB" for 52428800: the shortest exact form `parse_size` takes."""
    for unit, factor in _SIZES:
        if octets >= factor and octets % factor == 0:
            return f"{octets // factor}{unit}"
    return str(octets)


class Kind(Struct, frozen=True, gc=False):
    """What an option takes: `words` for people, `unit` is "duration", "size", "secret" or ""."""

    words: str
    unit: str = ""

    def number(self, value: float) -> str:
        """A bound of this option, in its unit."""
        if self.unit == "duration":
            return duration_text(value)
        if self.unit == "size":
            return size_text(int(value))
        return str(value) if isinstance(value, int) else f"{value:g}"


def kind_of(field: FieldInfo) -> Kind:
    """What `field` takes."""
    return _kind(field.annotation, list(field.metadata))


def _kind(annotation: object, metadata: list[object]) -> Kind:
    if get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        return _kind(annotation, [*more, *metadata])
    functions = [getattr(item, "func", None) for item in metadata]
    if parse_duration in functions:
        return Kind(words="duration", unit="duration")
    if parse_size in functions:
        return Kind(words="size", unit="size")
    if parse_secret in functions:
        return Kind(words='text, { file = "..." } or { env = "..." }', unit="secret")
    return _composed(annotation)


def _composed(annotation: object) -> Kind:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return Kind(words=" or ".join(f'"{part}"' if isinstance(part, str) else str(part) for part in parts))
    if origin is tuple:
        inner = _kind(parts[0], [])
        return Kind(words=f"list of {_plural(inner.words)}", unit=inner.unit)
    if origin is dict:
        inner = _kind(parts[1], [])
        words = "tables by name" if inner.words == "table" else f"{_plural(inner.words)} by name"
        return Kind(words=words, unit=inner.unit)
    if origin is UnionType or origin is Union:
        return _of_union([part for part in parts if part is not type(None)])
    if isinstance(annotation, type):
        if issubclass(annotation, BaseModel):
            return Kind(words="table")
        if issubclass(annotation, PurePath):
            return Kind(words="path")
        return Kind(words=PLAIN.get(annotation, annotation.__name__))
    raise TypeError(f"no words for the option type {annotation!r}")


def _of_union(parts: list[object]) -> Kind:
    if set(parts) == {IPv4Network, IPv6Network}:
        return Kind(words="network")
    return Kind(words=" or ".join(dict.fromkeys(_kind(part, []).words for part in parts)))


def _plural(words: str) -> str:
    return words if words == "text" or (" or " in words and not words.endswith("table")) else f"{words}s"


def bounds_text(field: FieldInfo) -> str:
    """Bounds in words, "at least 1, at most 100", or "" when there are no bounds."""
    kind = kind_of(field)
    out = []
    for item in field.metadata:
        match item:
            case Ge(ge=bound) if isinstance(bound, int | float):
                out.append(f"at least {kind.number(bound)}")
            case Gt(gt=bound) if isinstance(bound, int | float):
                out.append(f"more than {kind.number(bound)}")
            case Le(le=bound) if isinstance(bound, int | float):
                out.append(f"at most {kind.number(bound)}")
            case Lt(lt=bound) if isinstance(bound, int | float):
                out.append(f"less than {kind.number(bound)}")
            case MinLen(min_length=count):
                out.append(f"at least {count} given")
    return ", ".join(out)


def value_text(value: object) -> str:
    """A value as it reads in TOML."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
        case list() | tuple():
            return "[" + ", ".join(value_text(part) for part in value) + "]"
        case Mapping():
            return (
                "{ " + ", ".join(f"{key} = {value_text(part)}" for key, part in value.items()) + " }" if value else "{}"
            )
        case PurePath():
            return value_text(str(value))
        case _:
            return str(value)
