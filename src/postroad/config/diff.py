"""What differs between two configurations, option by option, as people write options (pure).

Lists of tables are aligned first, so that one route more is one change. Secrets are never shown: it is only told
that one changed. Each change says whether a reload can make it, needs a restart, or must be refused.
"""

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from types import MappingProxyType
from typing import Final

from pydantic.fields import FieldInfo

from postroad.config.describe import Kind, duration_text, kind_of, size_text, value_text
from postroad.config.schema import Config
from postroad.model.option import OptionChange, Secret, Settings

NOT_THERE: Final = "(not there)"
HIDDEN: Final = "(secret)"
HIDDEN_NOW: Final = "(another secret)"
KEPT: Final = MappingProxyType(
    {
        "spool": "the spool is open: it holds from the next start on",
        "desk": "its ports are taken at the start: it holds from the next start on",
        "drops": "the folder is made ready at the start: it holds from the next start on",
        "dmarc_reports": "counting begins at the start: it holds from the next start on",
        "tls_reports": "counting begins at the start: it holds from the next start on",
        "process": "processes and their user are set at the start: it holds from the next start on",
    }
)
KEPT_ACME: Final = ("bind", "challenge")  # of [acme]; a section that comes or goes needs a restart
_ACME_REFUSED: Final = "its ports are taken at the start, and listeners depend on it: restart the server"
_ACME_EFFECT: Final = "its ports are taken at the start: it holds from the next start on"
KEPT_COUNTING: Final = "accounts"
_COUNTING_EFFECT: Final = "its memory is taken at the start: it holds from the next start on"
KEPT_API: Final = ("bind", "connections")  # of [api]; the rest of it can be exchanged
_API_EFFECT: Final = "its ports are taken at the start: it holds from the next start on"
REFUSED: Final = MappingProxyType(
    {"data_dir": "mail that waits lies there; stop the server, move the folder, start it"}
)
_PLAIN: Final = Kind(words="")


def differences(old: Config, new: Config) -> list[OptionChange]:
    """Every option of `new` that is not as in `old`, in the order of the reference page."""
    found: list[OptionChange] = []
    for name, field in Config.model_fields.items():
        effect = KEPT.get(name) or REFUSED.get(name, "")
        for path, before, after in _compare(name, getattr(old, name), getattr(new, name), field):
            why = effect or _part_effect(old, new, path)
            if path == f"counting.{KEPT_COUNTING}":
                why = _COUNTING_EFFECT
            is_refused = name in REFUSED or (name == "acme" and why == _ACME_REFUSED)
            found.append(OptionChange(path, before, after, why, refused=is_refused))
    return found


def keep_running(old: Config, new: Config) -> Config:
    """`new` with the options of `old` that only a start can change."""
    kept: dict[str, object] = {name: getattr(old, name) for name in KEPT}
    if old.api is None or new.api is None:
        kept["api"] = old.api
    else:
        kept["api"] = new.api.model_copy(update={name: getattr(old.api, name) for name in KEPT_API})
    if old.acme is not None and new.acme is not None:
        kept["acme"] = new.acme.model_copy(update={name: getattr(old.acme, name) for name in KEPT_ACME})
    kept["counting"] = new.counting.model_copy(update={KEPT_COUNTING: getattr(old.counting, KEPT_COUNTING)})
    return new.model_copy(update=kept)


def _part_effect(old: Config, new: Config, path: str) -> str:
    if path.startswith("acme"):
        if old.acme is None or new.acme is None:
            return _ACME_REFUSED
        return _ACME_EFFECT if path.startswith(tuple(f"acme.{name}" for name in KEPT_ACME)) else ""
    return _api_effect(old, new, path) if path.startswith("api") else ""


def _api_effect(old: Config, new: Config, path: str) -> str:
    is_whole = old.api is None or new.api is None
    return _API_EFFECT if is_whole or path.startswith(tuple(f"api.{name}" for name in KEPT_API)) else ""


_Found = Iterator[tuple[str, str, str]]


def _compare(path: str, old: object, new: object, field: FieldInfo | None) -> _Found:
    if old == new:
        return
    if isinstance(old, Settings) and isinstance(new, Settings) and type(old) is type(new):
        for name, inner in type(old).model_fields.items():
            yield from _compare(f"{path}.{name}", getattr(old, name), getattr(new, name), inner)
        yield from _compare_tables(path, old.model_extra or {}, new.model_extra or {}, None)
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        yield from _compare_tables(path, old, new, field)
    elif _is_tables(old) and _is_tables(new) and isinstance(old, Sequence) and isinstance(new, Sequence):
        yield from _compare_lists(path, old, new)
    elif isinstance(old, Secret) and isinstance(new, Secret):
        yield path, (HIDDEN if old else NOT_THERE), ((HIDDEN_NOW if old else HIDDEN) if new else NOT_THERE)
    else:
        yield path, shown(old, field), shown(new, field)


def _compare_tables(path: str, old: Mapping[str, object], new: Mapping[str, object], field: FieldInfo | None) -> _Found:
    for name in dict.fromkeys((*old, *new)):
        inner = f"{path}.{name}"
        if name not in new:
            yield inner, shown(old[name], field), NOT_THERE
        elif name not in old:
            yield inner, NOT_THERE, shown(new[name], field)
        else:
            yield from _compare(inner, old[name], new[name], field)
    if list(old) != list(new) and set(old) == set(new):
        yield path, f"order {', '.join(old)}", f"order {', '.join(new)}"


def _compare_lists(path: str, old: Sequence[object], new: Sequence[object]) -> _Found:
    pool = [*old, *new]
    keys = [pool.index(one) for one in old], [pool.index(one) for one in new]  # equal ones have the same number
    if len(old) == len(new):
        for at, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _compare(f"{path}[{at}]", before, after, None)
        return
    for kind, at, end, now_at, now_end in SequenceMatcher(None, *keys, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        pairs = min(end - at, now_end - now_at)
        for step in range(pairs):
            yield from _compare(f"{path}[{now_at + step}]", old[at + step], new[now_at + step], None)
        for gone in range(at + pairs, end):
            yield f"{path}[{gone}]", shown(old[gone]), NOT_THERE
        for come in range(now_at + pairs, now_end):
            yield f"{path}[{come}]", NOT_THERE, shown(new[come])


def _is_tables(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(one, Settings) for one in value)


def shown(value: object, field: FieldInfo | None = None) -> str:
    """`value` as it would be written in the file, without its secrets."""
    unit = (kind_of(field) if field is not None else _PLAIN).unit
    return _text(value, unit)


def _text(value: object, unit: str) -> str:
    match value:
        case Secret():
            return HIDDEN if value else NOT_THERE
        case Settings():
            given = [name for name in type(value).model_fields if name in value.model_fields_set]
            parts = [f"{name} = {shown(getattr(value, name), type(value).model_fields[name])}" for name in given]
            parts += [f"{name} = {_text(part, '')}" for name, part in (value.model_extra or {}).items()]
            return "{ " + ", ".join(parts) + " }"
        case Mapping():
            return "{ " + ", ".join(f"{name} = {_text(part, unit)}" for name, part in value.items()) + " }"
        case tuple() | list():
            return "[" + ", ".join(_text(part, unit) for part in value) + "]"
        case float() if unit == "duration":
            return value_text(duration_text(value))
        case int() if unit == "size" and not isinstance(value, bool):
            return value_text(size_text(value))
        case str() | bool() | int() | float():
            return value_text(value)
        case _:
            return value_text(str(value))
