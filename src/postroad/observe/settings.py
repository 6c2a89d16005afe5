"""Options of the log (`[log]`) and of sinks of records (`[sinks.NAME]`): where records go, which, in what form.

The log is one line a record, to standard error; what a peer did is there with the exact reason. Of a sink
`to` says the kind; options of another kind are refused by config/checks/sinks.py. Names are those of folders and
records, so they are letters, digits, hyphens and underscores.
"""

from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from string import ascii_letters, digits
from types import MappingProxyType
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from postroad.model.option import Duration, File, Secret, SecretText, Settings, Size
from postroad.observe.destination import Destination, parse_destination
from postroad.observe.selection import check_pattern
from postroad.observe.syslog import Facility

# Which options mean something to which kinds alone; the others mean something to all.
KEY_MARK: Final = "whsec_"  # in front of a signing key that is written as base64
_TOKEN: Final = frozenset("!#$%&'*+-.^_`|~" + digits + ascii_letters)  # RFC 9110 5.6.2
_OWN_HEADERS: Final = frozenset({"content-type", "content-length", "content-encoding", "host", "transfer-encoding"})
KINDS_OF: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "format": ("file", "journald", "syslog"),
        "rotate_size": ("file",),
        "rotate_daily": ("file",),
        "keep": ("file",),
        "compress": ("file",),
        "sync": ("file",),
        "facility": ("journald", "syslog"),
        "secret": ("webhook",),
        "batch": ("webhook", "otlp"),
        "delay": ("webhook", "otlp"),
        "timeout": ("webhook", "otlp"),
        "retry_max": ("webhook", "otlp"),
        "expire_after": ("webhook",),
        "spool_size": ("webhook",),
        "ca": ("syslog", "webhook", "otlp"),
        "headers": ("otlp",),
        "ratio": ("otlp",),
    }
)


def _place(text: str) -> str:
    parse_destination(text)
    return text


def _header_name(text: str) -> str:
    if not text or set(text) - _TOKEN:
        raise ValueError("not the name of a header field")
    if text.lower() in _OWN_HEADERS:
        raise ValueError("this header field is written by Postroad")
    return text


Place = Annotated[str, AfterValidator(_place)]
RecordPattern = Annotated[str, AfterValidator(check_pattern)]
HeaderName = Annotated[str, AfterValidator(_header_name)]


class LogSettings(Settings):
    """How records are written."""

    format: Literal["json", "postfix", "text"] = Field(
        "json",
        description="json: one object a line; postfix: the lines that log tools for Postfix read; text: for people.",
    )


class SinkSettings(Settings):
    """One sink."""

    to: Place = Field(
        description='Where: "file:/path", "journald:", "syslog:" (the socket /dev/log), "syslog+udp://host[:port]", '
        '"syslog+tcp://...", "syslog+tls://...", the "https://..." address of a webhook, or "otlp+https://host[:port][/path]".'
    )
    records: tuple[RecordPattern, ...] = Field(
        (),
        description='Types of records, or patterns like "Recipient*".',
        json_schema_extra={"default": "all"},
    )
    format: Literal["default", "json", "postfix", "text"] = Field(
        "default", description="As `log.format`; default: json in files, text in syslog and the journal."
    )
    buffer: int = Field(
        10_000, description="Records that wait in memory while the sink is slow; more are lost and counted.", ge=100
    )
    rotate_size: Size = Field(
        "100MiB", description="file: a new file before this one grows larger; 0: whatever its size.", ge=0
    )
    rotate_daily: bool = Field(False, description="file: a new file each day, by local time.")
    keep: int = Field(10, description="file: how many old files are kept.", ge=0)
    compress: bool = Field(True, description="file: old files are packed by gzip.")
    sync: bool = Field(
        False, description="file: have the disk confirm each write (ten a second at most), not only each whole file."
    )
    facility: Facility = Field("mail", description="syslog, journald: the facility.")
    secret: SecretText = Field(
        Secret(),
        description='webhook: the key that requests are signed with; "whsec_..." is base64, else its octets count.',
        json_schema_extra={"default": "none, not signed"},
    )
    batch: int = Field(500, description="webhook, otlp: records in one request at most.", ge=1, le=10_000)
    delay: Duration = Field("1s", description="webhook, otlp: how long a record may wait for others.", ge=0.01, le=60)
    timeout: Duration = Field("10s", description="webhook, otlp: time for one request.", ge=0.1, le=300)
    retry_max: Duration = Field("5m", description="webhook, otlp: the longest pause between attempts.", ge=1, le=86400)
    expire_after: Duration = Field("3d", description="webhook: a batch that is older is given up.", ge=60)
    spool_size: Size = Field("64MiB", description="webhook: how much may wait on the disk.", ge=1 << 16)
    headers: dict[HeaderName, SecretText] = Field(
        {}, description="otlp: header fields of each request, by name, such as the key that a receiver asks for."
    )
    ratio: float = Field(
        1.0, description="otlp: the part of all messages that is traced, 0.01 for one in a hundred.", ge=0, le=1
    )
    ca: File = Field(
        Path(),
        description="syslog+tls, https, otlp+https: file of the certificates that vouch for the server.",
        json_schema_extra={"default": "the system's"},
    )

    @property
    def destination(self) -> Destination:
        """Where, as a value."""
        return parse_destination(self.to)

    @property
    def line_format(self) -> Literal["json", "postfix", "text"]:
        """The format that is meant."""
        if self.format != "default":
            return self.format
        return "json" if self.destination.kind == "file" else "text"

    @property
    def ca_file(self) -> str:
        """The file of certificates, "" for the system's."""
        return "" if self.ca == Path() else str(self.ca)

    def anchored(self, folder: Path) -> "SinkSettings":
        """The same, with relative files taken from `folder`."""
        changed: dict[str, object] = {}
        if self.destination.kind == "file":
            changed["to"] = f"file:{(folder / Path(self.destination.path).expanduser()).absolute()}"
        if self.ca != Path():
            changed["ca"] = (folder / self.ca.expanduser()).absolute()
        return self.model_copy(update=changed)


def key_of(secret: str) -> bytes:
    """The octets of a signing key; ValueError when it is marked as base64 and is not."""
    if secret.startswith(KEY_MARK):
        return b64decode(secret.removeprefix(KEY_MARK), validate=True)
    return secret.encode()
