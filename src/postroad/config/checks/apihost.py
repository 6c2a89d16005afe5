"""What the HTTP API asks of this host: keys and templates, read where they are kept.

Apart from the rules, so that a command that only wants to know the configuration does not load a template engine.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from postroad.api.keys import KeyRing, Scope, digest_of, scope_of
from postroad.api.templates import KINDS, Templates
from postroad.config.describe import value_text
from postroad.config.problem import Problem
from postroad.config.schema import Config
from postroad.config.secrets import read_secret
from postroad.model.errors import ConfigError

FILES: Final = 1000
FILE_SIZE: Final = 256 << 10


def check_api_places(config: Config) -> Iterator[Problem]:
    """What the API asks of this host: secrets and templates that can be read."""
    if config.api is None:
        return
    try:
        key_ring(config)
    except ConfigError as error:
        for text in error.problems:
            yield Problem(("api", "keys"), text)
    try:
        read_templates(config)
    except ConfigError as error:
        for text in error.problems:
            yield Problem(("api", "templates"), text)


def key_ring(config: Config) -> KeyRing:
    """The keys; ConfigError when one cannot be read, is none, or is there twice."""
    found: dict[bytes, Scope] = {}
    api = config.api
    for name, settings in ({} if api is None else api.keys).items():
        option = f"api.keys.{name}.key"
        try:
            digest = digest_of(read_secret(settings.key, option))
        except ValueError as error:
            raise ConfigError([f"{option}: {error}"]) from None
        if digest in found:
            raise ConfigError([f"{option}: it is the key of {found[digest].name}, too"])
        found[digest] = scope_of(name, settings, 0 if api is None else api.request_size)
    return KeyRing(found)


def read_templates(config: Config) -> Templates:
    """The templates of the configured folder; ConfigError with everything that is wrong with them."""
    folder = None if config.api is None else config.api.template_folder
    templates = Templates({} if folder is None else _read(folder))
    if templates.flaws:
        raise ConfigError([f"{folder}/{flaw}" for flaw in templates.flaws])
    return templates


def _read(folder: Path) -> Mapping[str, str]:
    if not folder.is_dir():
        raise ConfigError([f"{value_text(str(folder))}: is not a folder"])
    found: dict[str, str] = {}
    for file in sorted(folder.iterdir()):
        if file.name.startswith(".") or not file.is_file():
            continue
        if file.suffix.removeprefix(".") not in KINDS:
            continue
        if len(found) == FILES:
            raise ConfigError([f"{folder}: has more than {FILES} templates"])
        try:
            text = file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError([f"{file}: cannot be read: {error}"]) from None
        if len(text) > FILE_SIZE:
            raise ConfigError([f"{file}: is longer than {FILE_SIZE} characters"])
        found[file.name] = text
    return found
