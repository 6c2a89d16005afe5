"""How settings are declared: one line an option, with name, type, default and sentence.

`Settings` is the frozen pydantic base of every package's settings.py; an unknown key is an
error. Durations ("90s", "5m", "4h", "5d") become float seconds, sizes ("50MiB") become octets.
`config/document.py` writes the reference pages from these declarations.
"""

from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final

from msgspec import Struct
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, InstanceOf

NEVER: Final = float("inf")
NAME_LIMIT: Final = 64  # names go into every record, into lanes and into Received header fields
_NAME: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_UNITS: Final = (("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86400.0), ("w", 604800.0))
_SIZES: Final = (
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1000),
    ("KB", 1000),
    ("MB", 1000**2),
    ("GB", 1000**3),
    ("TB", 1000**4),
    ("B", 1),
)


class Settings(BaseModel):
    """Base of all settings: frozen, unknown keys refused, defaults checked like given values."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, hide_input_in_errors=False)


class Secret(Struct, frozen=True):
    """A secret as it was given: the text itself, or where to read it; never shown."""

    text: str = ""
    file: str = ""
    env: str = ""

    def __repr__(self) -> str:
        """Where it comes from, and nothing of what it is."""
        if self.file or self.env:
            return f"Secret(file={self.file!r}, env={self.env!r})"
        return "Secret(hidden)" if self.text else "Secret()"

    __str__ = __repr__

    def __bool__(self) -> bool:
        """True when one is given."""
        return bool(self.text or self.file or self.env)


class OptionChange(Struct, frozen=True, gc=False, omit_defaults=True):
    """One option that a reload changes, from `before` to `after` as in the file; secrets are not shown.

    `effect` is why it does not hold at once, "" when it does; `refused`: it stands against the whole reload.
    """

    option: str
    before: str
    after: str
    effect: str = ""
    refused: bool = False

    def __str__(self) -> str:
        """The change in one line."""
        line = f"{self.option}: {self.before} -> {self.after}"
        return f"{line} ({self.effect})" if self.effect else line


def is_name(text: str) -> bool:
    """True when a section, a key or a source can be called so."""
    return 0 < len(text) <= NAME_LIMIT and not set(text) - _NAME


def named(what: str) -> Callable[[str], str]:
    """What lets names through and raises ValueError for all else; `what` is "a listener's name", say."""

    def check(text: str) -> str:
        if not is_name(text):
            raise ValueError(f"{what} is 1 to {NAME_LIMIT} letters, digits, hyphens and underscores")
        return text

    return check


def parse_file(value: object) -> object:
    """The path that `value` is; whatever is none is left to pydantic, which says so."""
    return Path(value) if isinstance(value, str) else value


def parse_secret(value: object) -> Secret:
    """A secret from text, `{ file = "..." }` or `{ env = "..." }`; ValueError never repeats the value."""
    match value:
        case Secret():
            return value
        case str() if value:
            return Secret(text=value)
        case {"file": str(file), **more} if file and not more:
            return Secret(file=file)
        case {"env": str(env), **more} if env and not more:
            return Secret(env=env)
    raise ValueError('a secret is text, { file = "/path/to/it" } or { env = "NAME" }')


def parse_duration(value: object) -> float:
    """Seconds for "90s", "5m", "4h", "5d", "1w" or "never" (infinity); ValueError tells what is accepted."""
    if isinstance(value, float):
        return value  # a default given in code
    if not isinstance(value, str):
        raise ValueError('a duration is text such as "90s", "5m", "4h" or "5d"')  # noqa: TRY004  pydantic reports ValueError alone
    text = value.strip()
    if text == "never":
        return NEVER
    for unit, seconds in _UNITS:
        number = text.removesuffix(unit).strip()
        if number != text and _is_number(number):
            return float(number) * seconds
    raise ValueError(f'{value!r} is not a duration; write it like "90s", "5m", "4h", "5d"')


def parse_size(value: object) -> int:
    """Octets for "50MiB", "10kB" or a plain number; ValueError tells what is accepted."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise ValueError('a size is text such as "50MiB"')  # noqa: TRY004  pydantic reports ValueError alone
    text = value.strip()
    for unit, factor in _SIZES:
        number = text.removesuffix(unit).strip()
        if number != text and _is_number(number):
            return int(float(number) * factor)
    if text.isdigit():
        return int(text)
    raise ValueError(f'{value!r} is not a size; write it like "50MiB" or "10kB"')


def parse_endpoint(text: str, *, default_port: int | None = None) -> tuple[str, int]:
    """IP address and port of "192.0.2.1:25" or "[2001:db8::1]:25"; ValueError tells what is accepted.

    Without `default_port` the port must be given.
    """
    host, colon, port = text.rpartition(":")
    if default_port is not None and (not colon or "]" in port or _is_address(text)):
        host, port = text, str(default_port)
    bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if bracketed else host
    if not _is_address(bare) or (":" in bare and not bracketed and host != text):
        raise ValueError(f'{text!r} is not an address and port; write it like "192.0.2.1:25" or "[::1]:25"')
    if not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ValueError(f"{text!r} has no port between 0 and 65535")
    return str(ip_address(bare)), int(port)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _endpoint(text: str) -> str:
    parse_endpoint(text)
    return text


def _nameserver(text: str) -> str:
    parse_endpoint(text, default_port=53)
    return text


def _is_number(text: str) -> bool:
    whole, _, part = text.partition(".")
    return whole.isascii() and whole.isdigit() and (part == "" or (part.isascii() and part.isdigit()))


File = Annotated[Path, BeforeValidator(parse_file)]
Duration = Annotated[float, BeforeValidator(parse_duration)]
Size = Annotated[int, BeforeValidator(parse_size)]
Endpoint = Annotated[str, AfterValidator(_endpoint)]
Nameserver = Annotated[str, AfterValidator(_nameserver)]
SecretText = Annotated[InstanceOf[Secret], BeforeValidator(parse_secret)]
