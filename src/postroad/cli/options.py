"""Options that commands share, declared once: the configuration file, JSON output.

A command takes them as `config: ConfigFile = None` and `as_json: Json = False`.
"""

from pathlib import Path
from typing import Annotated

import typer

from postroad.config.load import DEFAULT_FILES, find_config, load_config
from postroad.config.schema import Config

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "-c",
        "--config",
        metavar="FILE",
        help="Configuration file; by default ./postroad.toml, then /etc/postroad/postroad.toml.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def system_file(given: str) -> Path:
    """The configuration of a program that others call: `given`, or the system's.

    Never one in the current folder, which may belong to somebody else than the caller.
    """
    return Path(given) if given else DEFAULT_FILES[-1]


def configuration(given: Path | None) -> Config:
    """The checked configuration of `given` or of the default file; ConfigError with every problem but of policies."""
    return load_config(find_config(given), with_policies=False)
