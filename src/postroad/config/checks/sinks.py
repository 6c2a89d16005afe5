"""Rules about sinks of records, and the secrets they need, read.

An option of another kind than that of `to` means a mistake, so it is refused rather than passed over.
"""

from binascii import Error
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from postroad.config.problem import Problem, Warned
from postroad.config.schema import Config
from postroad.config.secrets import read_secret
from postroad.model.errors import ConfigError
from postroad.observe.settings import KEY_MARK, KINDS_OF, SinkSettings, key_of
from postroad.observe.sinks import OTLP, WEBHOOK

_LATE: Final = MappingProxyType({"webhook": WEBHOOK, "otlp": OTLP})


def check_sinks(config: Config) -> Iterator[Problem]:
    """Options that mean nothing in their sink, two sinks that would write one file, secrets sent in the clear."""
    files: dict[str, str] = {}
    for name, sink in config.sinks.items():
        path = ("sinks", name)
        kind = sink.destination.kind
        for option in KINDS_OF:
            if option in sink.model_fields_set and kind not in KINDS_OF[option]:
                kinds = " and ".join(KINDS_OF[option])
                yield Problem((*path, option), f'means nothing here: it is for {kinds}, and "{sink.to}" is {kind}')
        if kind == "file":
            other = files.setdefault(sink.destination.path, name)
            if other != name:
                yield Problem((*path, "to"), f'"{sink.to}": sinks.{other} writes there already')
        if kind in {"webhook", "otlp"}:
            yield from _far(name, sink)


def _far(name: str, sink: SinkSettings) -> Iterator[Problem]:
    path = ("sinks", name)
    if sink.batch > sink.buffer:
        yield Problem((*path, "batch"), f"{sink.batch}: more than may wait (sinks.{name}.buffer is {sink.buffer})")
    if sink.secret.text:
        try:
            key_of(sink.secret.text)
        except (Error, ValueError):
            yield Problem((*path, "secret"), f'(a secret, not shown): what follows "{KEY_MARK}" is not base64')
    for header, secret in sink.headers.items():
        if secret.text and not _fits_header(secret.text):
            yield Problem((*path, "headers", header), "(a secret, not shown): is no value of a header field")
    parts = urlsplit(sink.destination.url)
    if parts.scheme == "http" and not _is_near(parts.hostname or ""):
        yield Warned((*path, "to"), f'"{sink.to}": addresses of your mail would go in the clear; use https')


def _is_near(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def check_sink_places(config: Config) -> Iterator[Problem]:
    """What sinks ask of this host: packages, secrets that can be read, folders for files."""
    for name, sink in config.sinks.items():
        try:
            _secret(name, sink)
        except ConfigError as error:
            yield Problem(("sinks", name, "secret"), error.problems[0].partition(": ")[2])
        for header in sink.headers:
            try:
                _header(name, sink, header)
            except ConfigError as error:
                yield Problem(("sinks", name, "headers", header), error.problems[0].partition(": ")[2])
        where = sink.destination
        try:
            if late := _LATE.get(where.kind):
                late.load()  # imported here, so that a reload does it in a thread
        except ConfigError as error:
            yield Problem(("sinks", name, "to"), f'"{sink.to}": {error}')
        if where.kind == "file" and not Path(where.path).parent.is_dir():
            yield Warned(("sinks", name, "to"), f'"{sink.to}": there is no such folder; records will wait for it')


def sink_secrets(config: Config) -> Mapping[str, str]:
    """The signing secrets by sink; ConfigError when one cannot be read."""
    return {name: _secret(name, sink) for name, sink in config.sinks.items() if sink.secret}


def sink_headers(config: Config) -> Mapping[str, Mapping[str, str]]:
    """The header fields of requests by sink; ConfigError when one cannot be read."""
    return {
        name: {header: _header(name, sink, header) for header in sink.headers}
        for name, sink in config.sinks.items()
        if sink.headers
    }


def _header(name: str, sink: SinkSettings, header: str) -> str:
    option = f"sinks.{name}.headers.{header}"
    text = read_secret(sink.headers[header], option)
    if not _fits_header(text):
        raise ConfigError([f"{option}: is no value of a header field"])
    return text


def _fits_header(text: str) -> bool:
    return text.isascii() and text.isprintable() and text == text.strip()


def _secret(name: str, sink: SinkSettings) -> str:
    option = f"sinks.{name}.secret"
    text = read_secret(sink.secret, option)
    try:
        key_of(text)
    except (Error, ValueError):
        raise ConfigError([f'{option}: what follows "{KEY_MARK}" is not base64']) from None
    return text
