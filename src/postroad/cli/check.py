"""`postroad check`: the configuration's problems and doubts, all of them, without starting anything.

Problems go to standard error and the exit code is 78; warnings leave it at 0. With `--diff` the running server tells
what a reload would change.
"""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from postroad.cli.exits import CONFIG, OK, complain, guarded
from postroad.cli.options import ConfigFile, Json
from postroad.cli.reload import compared, json_of, tell
from postroad.config.checks.aliases import check_tables
from postroad.config.checks.directories import probe_directories
from postroad.config.checks.host import check_host
from postroad.config.checks.recipients import check_known
from postroad.config.checks.rules import try_rules
from postroad.config.checks.tls import check_tls_files
from postroad.config.load import Loaded, find_config, inspect_config
from postroad.config.problem import Problem, Warned, path_text, place_of
from postroad.config.rulebook import ruling_of
from postroad.config.schema import Config
from postroad.house.rehearsal import rehearse
from postroad.net.clock import SystemClock

Diff = Annotated[
    bool, typer.Option("--diff", help="Print what a reload would change in the running server, option by option.")
]
Start = Annotated[
    bool, typer.Option("--start", help="Also check what a start needs: folders, user, secrets, every port.")
]
Have = Annotated[
    list[str] | None,
    typer.Option(
        "--have",
        metavar="ADDRESS:PORT",
        help="With --start: a port that a running server would hand over; may be repeated.",
        show_default=False,
    ),
]
DataDir = Annotated[
    str,
    typer.Option("--data-dir", metavar="FOLDER", help="With --start: refuse another `data_dir`.", show_default=False),
]


@guarded
def check(
    config: ConfigFile = None,
    as_json: Json = False,
    diff: Diff = False,
    start: Start = False,
    have: Have = None,
    data_dir: DataDir = "",
) -> int:
    """Check the configuration and print every problem at once.

    Example: postroad check -c /etc/postroad/postroad.toml
    """
    file = find_config(config)
    if diff:
        return _compare(file, as_json=as_json)
    loaded = inspect_config(file)
    warnings = list(loaded.warnings)
    if loaded.config is not None:
        tables, known = check_tables(loaded.config), check_known(loaded.config)
        host = check_host(loaded.config)
        tls = list(check_tls_files(loaded.config, SystemClock().now()))
        problems = [*tables.problems, *known.problems]
        problems += [problem for problem in tls if not isinstance(problem, Warned)]
        warnings += [problem for problem in tls if isinstance(problem, Warned)]
        problems += try_rules(loaded.config, ruling_of(loaded.config), SystemClock().now())
        if start:
            problems += (problem for problem in host if not isinstance(problem, Warned))
            problems += _start(loaded.config, have or [], data_dir)
            host = [problem for problem in host if isinstance(problem, Warned)]
        warnings += [*host, *tables.warnings, *known.warnings, *probe_directories(loaded.config)]
        if problems:
            loaded = Loaded(None, problems, warnings, loaded.places)
    if as_json:
        print(_json(loaded, warnings))
    else:
        _print(file, loaded, warnings)
    return CONFIG if loaded.config is None else OK


def _start(config: Config, have: list[str], data_dir: str) -> list[Problem]:
    """What speaks against a start, or against taking over from a server that has these ports and this folder."""
    found = rehearse(config, have)
    if data_dir and Path(data_dir) != config.data_dir:
        why = f'"{config.data_dir}": mail that waits lies in {data_dir}; stop the server, move the folder, start it'
        found.append(Problem(("data_dir",), why))
    return found


def _compare(file: Path, *, as_json: bool) -> int:
    """What a reload would change in the running server, as that sees it."""
    done = compared(file)
    if as_json:
        print(json_of(done))
    else:
        tell(done, "would change", "a reload would change nothing")
    return CONFIG if done.problems else OK


def _print(file: Path, loaded: Loaded, warnings: list[Problem]) -> None:
    for line in loaded.lines(loaded.problems):
        complain(line)
    for line in loaded.lines(warnings):
        complain(f"warning: {line}")
    if loaded.config is None:
        count = len(loaded.problems)
        complain(f"{count} problem{'s' if count > 1 else ''}; nothing would start")
    else:
        print(f"{file}: ok: {summary(loaded.config)}")


def summary(config: Config) -> str:
    """The configuration in one line for people."""
    listeners = ", ".join(f"{name} on {' and '.join(entry.bind)}" for name, entry in config.listeners.items())
    count = len(config.routes)
    return f"{config.hostname}; {listeners}; {count} route{'s' if count > 1 else ''}; data in {config.data_dir}"


def _json(loaded: Loaded, warnings: list[Problem]) -> str:
    def plain(problem: Problem) -> dict[str, str | int]:
        place = problem.place or place_of(problem.path, loaded.places)
        return {"file": place.file, "line": place.line, "path": path_text(problem.path), "text": problem.text}

    return msgspec.json.encode(
        {
            "ok": loaded.config is not None,
            "problems": [plain(problem) for problem in loaded.problems],
            "warnings": [plain(problem) for problem in warnings],
        }
    ).decode()
