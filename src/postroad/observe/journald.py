"""Records in the systemd journal, by its native protocol, with a field for each of their parts.

MESSAGE is the line of the chosen format; POSTROAD_RECORD the type; POSTROAD_ID, POSTROAD_RECIPIENT, POSTROAD_ORIGIN_IP,
POSTROAD_REPLY and so on the record's own. A value with a line break is sent with its length, so that nothing a
peer says can begin a field of its own. What is too large for a datagram goes as a sealed memory file.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal

import msgspec

from postroad.model.records import Record
from postroad.model.reply import Reply
from postroad.net.logsocket import LogAddress, LogSocket
from postroad.observe.log import make_format
from postroad.observe.severity import severity_of
from postroad.observe.syslog import bare_lines

Entry = Callable[[Record], bytes]
IDENTIFIER: Final = "postroad"


def make_entry(name: Literal["json", "postfix", "text"], *, hostname: str, pid: int, facility: int) -> Entry:
    """What makes a record's journal entry; b"" for a record that the format has no words for."""
    encode = make_format(name, hostname=hostname, pid=pid)

    def entry(record: Record) -> bytes:
        lines = bare_lines(name, encode, record)
        if not lines:
            return b""
        fields = [
            _field("MESSAGE", b"\n".join(lines)),
            _field("PRIORITY", b"%d" % severity_of(record)),
            _field("SYSLOG_FACILITY", b"%d" % facility),
            _field("SYSLOG_IDENTIFIER", IDENTIFIER.encode()),
            _field("POSTROAD_RECORD", type(record).__name__.encode()),
        ]
        fields += [_field(f"POSTROAD_{key.upper()}", text.encode(errors="replace")) for key, text in facts_of(record)]
        return b"".join(fields)

    return entry


def facts_of(record: Record) -> Iterator[tuple[str, str]]:
    """The fields of a record that are set, as names and texts; those of an origin each for itself."""
    for key, value in _facts(record):
        yield key, " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _facts(part: msgspec.Struct) -> Iterator[tuple[str, object]]:
    for key, value in msgspec.structs.asdict(part).items():
        if isinstance(value, msgspec.Struct) and not isinstance(value, Reply):
            yield from ((f"{key}_{inner}", text) for inner, text in _facts(value))
        elif value not in ("", ()):
            yield key, value


def _field(name: str, value: bytes) -> bytes:
    key = name.encode()
    if b"\n" in value:
        return key + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"
    return key + b"=" + value + b"\n"


class JournalOutlet:
    """An `Outlet` that gives each record to the journal."""

    def __init__(self, path: str, entry: Entry) -> None:
        """`path` is the journal's socket; it is connected by the first `write`."""
        self.fault = ""
        self.lost = 0
        self._entry = entry
        self._socket = LogSocket(LogAddress("unix", path=path), by_memory=True)

    def write(self, records: Sequence[Record]) -> int:
        """Give `records` to the journal; how many it has."""
        entries = [self._entry(record) for record in records]
        sent, self.fault = self._socket.send([entry for entry in entries if entry])
        for count, entry in enumerate(entries):
            if entry and not sent:
                return count
            sent -= bool(entry)
        return len(records)

    def idle(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
