"""Rules about the HTTP API: its address, its keys, its templates; and the keys' digests, read.

The keys go over the wire, so an address that others can reach is a doubt as long as the API speaks no TLS itself.
"""

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from postroad.api.keys import KeyRing, Scope, digest_of, scope_of
from postroad.api.templates import KINDS, Templates
from postroad.config.checkdesk import overlap
from postroad.config.describe import value_text
from postroad.config.problem import Problem, Warned, path_text
from postroad.config.schema import Config
from postroad.config.secrets import read_secret
from postroad.model.errors import ConfigError
from postroad.model.option import parse_endpoint

FILES: Final = 1000
FILE_SIZE: Final = 256 << 10


def check_api(config: Config) -> Iterator[Problem]:
    """An address that is taken, one that others can reach, keys that are none or are there twice."""
    api = config.api
    if api is None:
        return
    seen = [
        (*parse_endpoint(bind), path_text(("listeners", name, "bind", at)))
        for name, listener in config.listeners.items()
        for at, bind in enumerate(listener.bind)
    ]
    desk = () if config.desk is None else config.desk.bind
    seen += [(*parse_endpoint(bind), path_text(("desk", "bind", at))) for at, bind in enumerate(desk)]
    for at, bind in enumerate(api.bind):
        address, port = parse_endpoint(bind)
        path = ("api", "bind", at)
        for other, other_port, where in seen:
            if port and port == other_port and overlap(address, other):
                yield Problem(path, f"{value_text(bind)}: {where} listens there already")
                break
        seen.append((address, port, path_text(path)))
        if not ip_address(address).is_loopback:
            yield Warned(
                path,
                f"{value_text(bind)}: keys and mail would go in the clear; use the loopback, behind a proxy with TLS",
            )
    if api.memory < api.request_size:
        yield Problem(("api", "memory"), "is less than one request may have (api.request_size)")
    if not api.keys:
        yield Warned(("api", "keys"), "is empty: nobody can use the API; `postroad key` makes a key")
    yield from _written_keys(config)


def _written_keys(config: Config) -> Iterator[Problem]:
    digests: dict[bytes, str] = {}
    for name, settings in ({} if config.api is None else config.api.keys).items():
        if settings.key.text:
            try:
                digest = digest_of(settings.key.text)
            except ValueError as error:
                yield Problem(("api", "keys", name, "key"), f"(a secret, not shown): {error}")
                continue
            if digest in digests:
                yield Problem(("api", "keys", name, "key"), f"(a secret, not shown): is that of {digests[digest]} too")
            digests[digest] = name


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
