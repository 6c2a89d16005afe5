"""What a program that sends mail has to know of the configuration, read without checking the rest of it.

Whoever may send need not be able to read certificates, secrets and tables; the file itself they must, so secrets
belong into files of their own. What is missing or odd here has the default that the server would use.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from postroad.config.merge import read_document
from postroad.config.problem import render
from postroad.config.schema import Config
from postroad.listener.settings import DropSettings, LimitsSettings
from postroad.model.errors import ConfigError
from postroad.net.hostname import host_name

_DEFAULT_DATA: Final = Config.model_fields["data_dir"].default


class Place(Struct, frozen=True):
    """Where drops go, whose name senders without a domain get, and what a drop may be."""

    folder: Path
    hostname: str
    limits: LimitsSettings


def find_place(file: Path) -> Place:
    """The place that the configuration `file` tells of; ConfigError when it cannot be read."""
    document = read_document(file)
    if unread := [problem for problem in document.problems if not problem.path]:
        raise ConfigError([render(problem, document.places) for problem in unread])
    data = document.data
    folder = Path(_text(_table(data, "drops"), "folder") or DropSettings().folder)
    data_dir = (file.parent / Path(_text(data, "data_dir") or _DEFAULT_DATA).expanduser()).absolute()
    wanted = {"message_size", "header_size", "recipients_per_message"}
    limits = {key: value for key, value in _table(data, "limits").items() if key in wanted}
    try:
        bounds = LimitsSettings.model_validate(limits)
    except ValueError as error:
        raise ConfigError([f"{file}: limits: {error}"]) from error
    return Place(data_dir / folder / "new", _text(data, "hostname").lower() or host_name(), bounds)


def _table(data: Mapping[str, object], key: str) -> Mapping[str, object]:
    found = data.get(key)
    return found if isinstance(found, dict) else {}


def _text(data: Mapping[str, object], key: str) -> str:
    found = data.get(key)
    return found if isinstance(found, str) else ""
