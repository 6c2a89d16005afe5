"""Postfix's files as values: main.cf with its parameters expanded, master.cf's services, the sources of its maps.

Whatever is odd is skipped, never an error: what an import could not use, its report says. Compiled maps (.db) are
not read; their source beside them is.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from msgspec import Struct

LARGEST: Final = 16 << 20  # octets of one file
_DEPTH: Final = 8  # parameters in parameters
_LONGEST: Final = 1 << 16  # characters of a value
_REFERENCE: Final = re.compile(r"\$(?:(\w+)|\{(\w+)\}|\((\w+)\)|\{(\w+)([?:])([^{}]*)\})")
_OVERRIDE: Final = re.compile(r"-o\s*(?:\{\s*([^{}=]+?)\s*=\s*([^{}]*?)\s*\}|(\w+)=(\S*))")
_SPLIT: Final = re.compile(r"[,\s]+")
_DEFAULTS: Final = MappingProxyType(
    {
        "myorigin": "$myhostname",
        "mydestination": "$myhostname, localhost.$mydomain, localhost",
        "inet_interfaces": "all",
        "inet_protocols": "all",
        "queue_directory": "/var/spool/postfix",
        "virtual_alias_maps": "$virtual_maps",
        "relay_transport": "relay",
        "virtual_transport": "virtual",
        "local_transport": "local:$myhostname",
        "default_transport": "smtp",
    }
)
TEXT_MAPS: Final = frozenset(("hash", "texthash", "btree", "lmdb", "dbm", "cdb", "sdbm"))


class Service(Struct, frozen=True):
    """A line of master.cf: name, type, command, and what it overrides."""

    name: str
    type: str
    command: str
    options: Mapping[str, str]


class Postfix(Struct, frozen=True):
    """A folder of Postfix's: what is `given` in main.cf as it stands there, and the services."""

    folder: Path
    given: Mapping[str, str]
    services: tuple[Service, ...]

    def value(self, name: str) -> str:
        """A parameter with everything in it expanded; "" when it is not given and has no default that matters."""
        return self._expand(f"${{{name}}}", 0)[:_LONGEST].strip()

    def items(self, name: str) -> list[str]:
        """A parameter as a list."""
        return [item for item in _SPLIT.split(self.value(name)) if item]

    def _raw(self, name: str) -> str:
        if name in self.given:
            return self.given[name]
        if name == "mydomain":
            return self.given.get("myhostname", "").partition(".")[2]
        return _DEFAULTS.get(name, "")

    def _expand(self, text: str, depth: int) -> str:
        if depth > _DEPTH or len(text) > _LONGEST:
            return ""

        def replaced(found: re.Match[str]) -> str:
            name = found[1] or found[2] or found[3]
            if name:
                return self._expand(self._raw(name), depth + 1)
            is_set = bool(self._expand(self._raw(found[4]), depth + 1))
            return self._expand(found[6], depth + 1) if is_set == (found[5] == "?") else ""

        return _REFERENCE.sub(replaced, text)

    def path_of(self, name: str) -> Path:
        """Where a file is that main.cf names: in the folder that is imported, if it was meant to be in Postfix's."""
        path = Path(name)
        inside = self.folder / name.removeprefix("/etc/postfix/").lstrip("/")
        return inside if inside.is_file() or not path.is_absolute() else path

    def entries(self, path: Path) -> list[tuple[str, str]] | None:
        """Keys and values of a map's source; None when it cannot be read."""
        text = read_text(path)
        if text is None:
            return None
        pairs = (line.split(None, 1) for line in logical_lines(text))
        return [(pair[0], pair[1].strip() if len(pair) > 1 else "") for pair in pairs]


def read(folder: Path) -> Postfix | None:
    """The configuration in `folder`; None when it has no readable main.cf."""
    text = read_text(folder / "main.cf")
    if text is None:
        return None
    given: dict[str, str] = {}
    for line in logical_lines(text):
        name, equals, value = line.partition("=")
        if equals and name.strip():
            given[name.strip()] = value.strip()
    services = (_service(line) for line in logical_lines(read_text(folder / "master.cf") or ""))
    return Postfix(folder, given, tuple(service for service in services if service is not None))


def _service(line: str) -> Service | None:
    words = line.split(None, 8)
    if len(words) < 8:
        return None
    rest = words[8] if len(words) > 8 else ""
    options = {(found[1] or found[3]).strip(): found[2] or found[4] or "" for found in _OVERRIDE.finditer(rest)}
    return Service(words[0], words[1], words[7], options)


def logical_lines(text: str) -> Iterator[str]:
    """Lines without comments, those that begin with white space joined to the one before (postconf(5))."""
    line = ""
    for part in text.splitlines():
        if not part.strip() or part.lstrip().startswith("#"):
            continue
        if part[0] in " \t":
            line = f"{line} {part.strip()}" if line else ""
            continue
        if line:
            yield line
        line = part.strip()
    if line:
        yield line


def read_text(path: Path) -> str | None:
    """The text of a file, what is not UTF-8 replaced; None when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(LARGEST).decode("utf-8", "replace").replace("\0", "")
    except (OSError, ValueError):
        return None
