"""From files to a checked `Config`, or to every problem they have, all at once.

Each option is checked on its own first (pydantic, through `config.schema`), then the rules across
options (`config.check`) over whatever is sound, so that one mistake does not hide another. The
folder of captured mail and of the spool, and the files of sources, are made absolute here; nothing is
created or changed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from msgspec import Struct
from pydantic import ValidationError

from postroad.config.check import check
from postroad.config.egress import anchored
from postroad.config.locate import KeyPath
from postroad.config.merge import read_document
from postroad.config.mistakes import problems_of
from postroad.config.policies import hidden, prepare
from postroad.config.problem import Places, Problem, place_of, render
from postroad.config.rulebook import anchored_rules
from postroad.config.schema import Config
from postroad.config.templates import read_languages
from postroad.model.errors import ConfigError

DEFAULT_FILES: Final = (Path("postroad.toml"), Path("/etc/postroad/postroad.toml"))

# What stands in for a broken table while the rest is checked across options.
_STAND_INS: Final[Mapping[str, dict[str, object]]] = MappingProxyType(
    {
        "listeners": {"bind": ("127.0.0.1:0",)},
        "routes": {"recipients": ("stand-in.invalid",), "next_hops": ("capture:",)},
    }
)


class Loaded(Struct, frozen=True):
    """A configuration as found: `config` is None exactly when there are problems."""

    config: Config | None
    problems: list[Problem]
    warnings: list[Problem]
    places: Places

    def lines(self, problems: Sequence[Problem]) -> list[str]:
        """`problems` as people see them, in the order of the files and lines."""
        files = list(dict.fromkeys(place.file for place in self.places.values()))

        def order(problem: Problem) -> tuple[int, int]:
            place = problem.place or place_of(problem.path, self.places)
            return files.index(place.file) if place.file in files else len(files), place.line

        return [render(problem, self.places) for problem in sorted(problems, key=order)]


def find_config(given: Path | None) -> Path:
    """`given`, or the first of the default files that exists; ConfigError when there is none."""
    if given is not None:
        return given
    for file in DEFAULT_FILES:
        if file.is_file():
            return file
    raise ConfigError(
        [f"no configuration: neither {' nor '.join(str(file) for file in DEFAULT_FILES)} exists; name one with -c FILE"]
    )


def load_config(file: Path, *, with_policies: bool = True) -> Config:
    """The configuration of `file` and its conf.d; ConfigError with every problem."""
    loaded = inspect_config(file, with_policies=with_policies)
    if loaded.config is None:
        raise ConfigError(loaded.lines(loaded.problems))
    return loaded.config


def inspect_config(file: Path, *, with_policies: bool = True) -> Loaded:
    """What `file` and its conf.d hold, with problems and warnings as values.

    Without `with_policies` those of `[[policies]]` are not imported, and their own options not looked at.
    """
    document = read_document(file)
    problems = list(document.problems)
    if any(not problem.path for problem in problems):  # a file that cannot be read at all
        return Loaded(None, problems, [], document.places)
    data = dict(document.data)
    config = _validated(data, problems)
    warnings: list[Problem] = []
    if config is not None:
        found = check(config)
        broken = [problem.path for problem in problems]
        problems += [problem for problem in found.problems if not _is_under(problem.path, broken)]
        warnings = [] if problems else found.warnings
        folder = file.parent
        aliases = tuple(entry.anchored(folder) for entry in config.aliases)
        recipients = tuple(entry.anchored(folder) for entry in config.recipients)
        data_dir = (folder / config.data_dir.expanduser()).absolute()
        sinks = {name: entry.anchored(folder) for name, entry in config.sinks.items()}
        api = None if config.api is None else config.api.anchored(folder)
        found_there = {"data_dir": data_dir, "aliases": aliases, "dsn": config.dsn.anchored(folder), "sinks": sinks}
        found_there |= {"api": api, "auth": config.auth.anchored(folder), "tls": config.tls.anchored(folder)}
        found_there["tls_out"] = config.tls_out.anchored(folder)
        found_there["acme"] = None if config.acme is None else config.acme.anchored(folder)
        found_there["listeners"] = {name: entry.anchored(folder) for name, entry in config.listeners.items()}
        found_there |= anchored_rules(config, folder)
        found_there["policies_path"] = (folder / config.policies_path.expanduser()).absolute()
        found_there["recipients"] = recipients
        config = anchored(config.model_copy(update=found_there), folder)
        problems += read_languages(config.dsn).problems
        if with_policies and config.policies:
            prepared = prepare(config)
            problems += prepared.problems
            config = hidden(config, prepared.policies)
    return Loaded(None if problems else config, problems, warnings, document.places)


def _validated(data: dict[str, object], problems: list[Problem]) -> Config | None:
    """The settings in `data`, with what is broken left out or stood in for after it was added to `problems`."""
    dropped: set[KeyPath] = set()  # options left out: that they are missing then is no finding
    for _ in range(3):
        try:
            return Config.model_validate(data, strict=True)
        except ValidationError as error:
            found = problems_of(error, data)
            problems += [problem for problem in found if problem not in problems and problem.path not in dropped]
            _mend(data, [problem.path for problem in found], dropped)
    return None


def _mend(data: dict[str, object], broken: Sequence[KeyPath], dropped: set[KeyPath]) -> None:
    for path in broken:
        section, rest = str(path[0]), path[1:]
        table = data.get(section)
        if section in _STAND_INS:
            data[section] = _stood_in(section, table, rest)
            dropped.add(path[:3])
        elif section == "hostname":
            data[section] = "stand-in.invalid"
        elif rest and isinstance(table, dict) and path[:2] not in dropped:
            data[section] = {key: value for key, value in table.items() if key != rest[0]}
            dropped.add(path[:2])
        else:  # without an option that is required, too
            data.pop(section, None)


def _stood_in(section: str, table: object, rest: KeyPath) -> object:
    """`table` with the broken option of one element left out, or the element stood in for when that is no help."""
    stand_in = _STAND_INS[section]

    def mended(element: object) -> object:
        if len(rest) > 1 and isinstance(element, dict) and rest[1] in element:
            return {key: value for key, value in element.items() if key != rest[1]}
        return stand_in

    match table:
        case dict() if rest:
            return {key: mended(value) if key == rest[0] else value for key, value in table.items()}
        case tuple() if rest:
            return tuple(mended(value) if at == rest[0] else value for at, value in enumerate(table))
        case _:
            return {"stand-in": stand_in} if section == "listeners" else (stand_in,)


def _is_under(path: KeyPath, broken: Sequence[KeyPath]) -> bool:
    return any(path[: len(part)] == part or part[: len(path)] == path for part in broken)
