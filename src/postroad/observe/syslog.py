"""Records as syslog messages (RFC 5424 6), over a unix socket, UDP, TCP or TLS.

MSGID is the record's type; MSG is the record in one of the log's formats, without the time that the header
has anyway; there is no structured data. In the format "postfix" APP-NAME and PROCID are those of Postfix's lines.
UDP and unix sockets carry one message a datagram (RFC 5426 3.1), streams count octets (RFC 6587 3.4.1).
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, Literal

from msgspec import Struct

from postroad.model.records import Record
from postroad.net.logsocket import LogAddress, LogSocket
from postroad.observe.formats.lines import Encode
from postroad.observe.log import make_format
from postroad.observe.severity import severity_of

Facility = Literal[
    "user", "mail", "daemon", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"
]
FACILITIES: Final = (("user", 1), ("mail", 2), ("daemon", 3), *((f"local{number}", 16 + number) for number in range(8)))
MESSAGE_LIMIT: Final = 8192  # octets; the rest is cut off, as receivers would (RFC 5424 6.1 asks for 2048)
TEXT_TIME: Final = len("2026-11-26 00:30:00.123 ")
POSTFIX_TIME: Final = len("Nov 26 00:30:00 ")

Messages = Callable[[Record], list[bytes]]


class Sender(Struct, frozen=True):
    """Who the messages are from."""

    hostname: str
    pid: int
    facility: int


def facility_number(name: str) -> int:
    """The number of a facility (RFC 5424 6.2.1)."""
    return dict(FACILITIES)[name]


def bare_lines(name: Literal["json", "postfix", "text"], encode: Encode, record: Record) -> list[bytes]:
    """The lines of a record in the format `name` without their times; of "postfix" also without the host."""
    lines = encode(record).split(b"\n")[:-1]
    match name:
        case "text":
            return [line[TEXT_TIME:] for line in lines]
        case "postfix":
            return [line[POSTFIX_TIME:].partition(b" ")[2] for line in lines]
        case _:
            return lines


def make_messages(name: Literal["json", "postfix", "text"], sender: Sender) -> Messages:
    """What makes a record's syslog messages: one, or in the format "postfix" none or several."""
    encode = make_format(name, hostname=sender.hostname, pid=sender.pid)
    host = _word(sender.hostname, 255)

    def messages(record: Record) -> list[bytes]:
        head = f"<{sender.facility * 8 + severity_of(record)}>1 {_time(record.at)} {host}"
        kind = _word(type(record).__name__, 32)
        out = []
        for line in bare_lines(name, encode, record):
            program, pid, words = "postroad", str(sender.pid), line
            if name == "postfix":
                tag, _, words = line.partition(b": ")
                program, _, pid = tag.decode().rstrip("]").partition("[")
            out.append(_cut(f"{head} {program} {pid} {kind} - ".encode() + words))
        return out

    return messages


def _time(at: int) -> str:
    moment = datetime.fromtimestamp(at // 1_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at % 1_000_000:06d}Z"


def _word(text: str, limit: int) -> str:
    """Printable ASCII without spaces (RFC 5424 6: the fields of a header)."""
    return "".join(sign for sign in text if "!" <= sign <= "~")[:limit] or "-"


def _cut(message: bytes) -> bytes:
    if len(message) <= MESSAGE_LIMIT:
        return message
    return message[:MESSAGE_LIMIT].decode(errors="ignore").encode()


class SyslogOutlet:
    """An `Outlet` that sends each record to a syslog server."""

    def __init__(self, address: LogAddress, messages: Messages) -> None:
        """Nothing is connected before the first `write`."""
        self.fault = ""
        self.lost = 0
        self._messages = messages
        self._socket = LogSocket(address)

    def write(self, records: Sequence[Record]) -> int:
        """Send the messages of `records`; of how many records all messages went."""
        groups = [self._messages(record) for record in records]
        sent, self.fault = self._socket.send([message for group in groups for message in group])
        for count, group in enumerate(groups):
            if len(group) > sent:
                return count
            sent -= len(group)
        return len(records)

    def idle(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Close the connection; what the peer has not read by then is its own to read."""
        self._socket.close()
