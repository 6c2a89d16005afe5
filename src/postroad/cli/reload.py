"""`postroad reload`: the running server reads its configuration anew, and says what changed or why nothing did.

Also what `postroad check --diff` asks it. The server is found through `data_dir`, which a file tells
whatever else is wrong with it.
"""

import tomllib
from pathlib import Path

import msgspec

from postroad.cli.control import ask_at
from postroad.cli.exits import CONFIG, OK, complain, guarded
from postroad.cli.options import ConfigFile, Json
from postroad.config.load import find_config
from postroad.config.merge import read_document
from postroad.desk.protocol import CompareAsked, ReloadAsked, Reloaded
from postroad.model.errors import SpoolError


@guarded
def reload(config: ConfigFile = None, as_json: Json = False) -> int:
    """Let the running server read its configuration anew; a broken file changes nothing.

    Example: postroad reload -c /etc/postroad/postroad.toml
    """
    file = find_config(config)
    done = _asked(file, ReloadAsked())
    if as_json:
        print(json_of(done))
    else:
        tell(done, "changed", "nothing has changed")
    return CONFIG if done.problems else OK


def compared(file: Path) -> Reloaded:
    """What a reload from `file` would change in the running server; SpoolError when it does not run."""
    return _asked(file, CompareAsked(str(file.absolute())))


def tell(done: Reloaded, word: str, nothing: str) -> None:
    """Print what a reload has changed, or would change."""
    for line in done.warnings:
        complain(f"warning: {line}")
    for line in done.problems:
        complain(line)
    if done.problems:
        complain("the configuration in force stays")
        return
    for change in done.changes:
        print(
            f"{'not before a restart' if change.effect else word}: {change.option}: {change.before} -> {change.after}"
        )
    if not done.changes:
        print(f"{done.file}: {nothing}")


def json_of(done: Reloaded) -> str:
    """The same as JSON."""
    return msgspec.json.encode({"ok": not done.problems, **msgspec.to_builtins(done)}).decode()


def _asked(file: Path, request: ReloadAsked | CompareAsked) -> Reloaded:
    for answer in ask_at(control_socket_of(file), request):
        if answer.reloaded is not None:
            return answer.reloaded
    raise SpoolError("the server ended before it had answered")


def control_socket_of(file: Path) -> Path:
    """Where the server of `file` is asked, even when the file is broken otherwise."""
    data_dir = read_document(file).data.get("data_dir") or _by_line(file)
    folder = Path(data_dir) if isinstance(data_dir, str) else Path("data")
    return (file.parent / folder.expanduser()).absolute() / "control.sock"


def _by_line(file: Path) -> object:
    """The `data_dir` of a file that is no TOML as a whole."""
    for line in file.read_text("utf-8", "replace").splitlines():
        if line.lstrip().startswith("data_dir"):
            try:
                return tomllib.loads(line).get("data_dir")
            except tomllib.TOMLDecodeError:
                return None
    return "data"
