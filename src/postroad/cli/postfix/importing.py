"""`postroad import postfix`: a configuration of ours from the files of a Postfix.

Reads main.cf, master.cf and the sources of the maps they name; changes nothing there. What could not be carried over
is listed, at the top of the file and on standard error.
"""

from pathlib import Path
from typing import Annotated

import typer

from postroad.cli.exits import NO_INPUT, OK, USAGE, complain, guarded
from postroad.config.postfix.files import read
from postroad.config.postfix.importing import translate
from postroad.config.postfix.writing import write_checked


def build() -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(
        help="Take over the configuration of another server.", no_args_is_help=True, rich_markup_mode=None
    )
    group.callback()(_group)
    group.command("postfix")(postfix)
    return group


def _group() -> None:
    """Take over the configuration of another server."""


@guarded
def postfix(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder with main.cf and master.cf.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write; it must not exist.")] = Path(
        "postroad.toml"
    ),
) -> int:
    """Write a configuration from a Postfix's, and list what could not be carried over.

    Example: postroad import postfix /etc/postfix --out postroad.toml
    """
    if out.exists():
        complain(f"{out} exists; name another file with --out")
        return USAGE
    found = read(folder)
    if found is None:
        complain(f"{folder / 'main.cf'} cannot be read")
        return NO_INPUT
    left = write_checked(translate(found), out, folder)
    print(f"{out} is written")
    for line in left:
        complain(f"not carried over: {line}")
    return OK
