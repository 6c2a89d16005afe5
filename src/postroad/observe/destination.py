"""Where a sink sends records, from one text (pure): `file:`, `journald:`, `syslog...:`, `otlp+...:` or a web address.

The scheme says the kind, as the schemes of next hops do. Ports that are not given are those of
RFC 5426 3.3 and RFC 5425 4.1; TCP has no port of its own for syslog (RFC 6587 3.1) and takes the same number as UDP.
"""

from typing import Final, Literal
from urllib.parse import urlsplit

from msgspec import Struct

Kind = Literal["file", "journald", "syslog", "webhook", "otlp"]
Transport = Literal["unix", "udp", "tcp", "tls"]

JOURNAL_SOCKET: Final = "/run/systemd/journal/socket"
SYSLOG_SOCKET: Final = "/dev/log"
_FORMS: Final = (
    '"file:/path", "journald:", "syslog:", "syslog+udp://host", "syslog+tcp://host", "syslog+tls://host" '
    '"https://host/path" or "otlp+https://host"'
)
_OTLP_PORT: Final = 4318  # both by the OpenTelemetry Protocol's specification
_OTLP_PATH: Final = "/v1/traces"
_SERVERS: Final[tuple[tuple[str, Transport, int], ...]] = (
    ("syslog+udp", "udp", 514),
    ("syslog+tcp", "tcp", 514),
    ("syslog+tls", "tls", 6514),
)


class Destination(Struct, frozen=True):
    """`path` of a file or unix socket, `host` and `port` of a syslog server, or the `url` of a webhook or collector."""

    kind: Kind
    transport: Transport = "unix"
    path: str = ""
    host: str = ""
    port: int = 0
    url: str = ""


def parse_destination(text: str) -> Destination:
    """The destination that `text` names; ValueError tells what is accepted."""
    scheme, colon, rest = text.partition(":")
    if colon:
        match scheme:
            case "file" if rest.strip("/"):
                return Destination("file", path=rest.removeprefix("//") if rest.startswith("///") else rest)
            case "journald":
                return Destination("journald", path=_socket(text, rest, JOURNAL_SOCKET))
            case "syslog":
                return Destination("syslog", path=_socket(text, rest, SYSLOG_SOCKET))
            case "http" | "https":
                return _web(text)
            case "otlp+http" | "otlp+https":
                return _collector(text)
            case _:
                for name, transport, port in _SERVERS:
                    if name == scheme:
                        return _server(text, transport, port)
    raise ValueError(f"not a place for records; write {_FORMS}")


def _socket(text: str, rest: str, default: str) -> str:
    if not rest:
        return default
    path = rest.removeprefix("//")
    if not path.startswith("/") or path == "/":
        raise ValueError(f'names no socket; write "{text.partition(":")[0]}:" or "{text.partition(":")[0]}:///path"')
    return path


def _server(text: str, transport: Transport, port: int) -> Destination:
    parts = urlsplit(text)
    if not parts.hostname or parts.path or parts.query or parts.username is not None:
        example = f"syslog+{transport}://host"
        raise ValueError(f'not a syslog server; write "{example}" or "{example}:{port}"')
    return Destination("syslog", transport, host=parts.hostname, port=_port(text) or port)


def _web(text: str) -> Destination:
    parts = urlsplit(text)
    if not parts.hostname or parts.fragment or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError('not a web address; write it like "https://hooks.example.com/postroad"')
    if parts.username is not None:
        raise ValueError("has a name or password in it; give secrets by an option of their own")
    _port(text)
    return Destination("webhook", url=text)


def _collector(text: str) -> Destination:
    parts = urlsplit(_web(text.removeprefix("otlp+")).url)
    if parts.query:
        raise ValueError('has a query; write it like "otlp+https://collector.example.com:4318"')
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    path = parts.path if parts.path.strip("/") else _OTLP_PATH
    return Destination("otlp", url=f"{parts.scheme}://{host}:{parts.port or _OTLP_PORT}{path}")


def _port(text: str) -> int:
    try:
        return urlsplit(text).port or 0
    except ValueError:
        raise ValueError("has no port between 1 and 65535") from None
