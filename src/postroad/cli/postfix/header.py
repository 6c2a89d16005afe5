"""The header section of a message that a program hands to `postroad-sendmail`: read, completed, stripped (pure).

Only what sendmail does is done: From, Date and Message-Id are added where they are missing (RFC 5322 3.6), those of a
resent message where it is one (RFC 5322 3.6.6), and Bcc goes, as Postfix has it. No other field that is there is
changed, and their order stays.
"""

from collections.abc import Iterable, Iterator
from email.utils import formataddr
from typing import Final

from msgspec import Struct

from postroad.message.addresslist import addresses
from postroad.message.headers import begins_with_field

_TO: Final = (b"to", b"cc", b"bcc")
_RESENT: Final = b"resent-"
_HIDDEN: Final = frozenset((b"bcc", b"resent-bcc"))


class Field(Struct, frozen=True):
    """One header field: its name in lower case, and all of its octets with the last CRLF."""

    name: bytes
    raw: bytes

    @property
    def value(self) -> str:
        """The unfolded value; octets that are not UTF-8 are kept as surrogates."""
        text = self.raw.partition(b":")[2].replace(b"\r\n", b"")
        return text.decode("utf-8", "surrogateescape").strip()


class Author(Struct, frozen=True):
    """Who sends, for the fields that are missing."""

    address: str
    name: str
    date: str
    message_id: str


def read_fields(lines: Iterator[bytes], limit: int) -> tuple[list[Field], bytes]:
    """The fields at the beginning of `lines`, which end in CRLF, and the line behind them that is no field.

    That line is b"" at the end of a message and CRLF when a blank line ended the header section. Past `limit` octets
    the rest counts as content. A mailbox's "From " line at the top is dropped.
    """
    fields: list[Field] = []
    taken = 0
    for number, line in enumerate(lines):
        if number == 0 and line.startswith(b"From "):
            continue
        taken += len(line)
        if line == b"\r\n" or taken > limit:
            return fields, line
        if line[:1] in b" \t" and fields:
            fields[-1] = Field(fields[-1].name, fields[-1].raw + line)
        elif begins_with_field(line):
            fields.append(Field(line.partition(b":")[0].rstrip(b" \t").lower(), line))
        else:
            return fields, line
    return fields, b""


def is_resent(fields: Iterable[Field]) -> bool:
    """True when somebody sends on what was sent before."""
    return any(field.name.startswith(_RESENT) for field in fields)


def recipients_in(fields: list[Field]) -> list[str]:
    """Who gets the message by its header: those of the Resent- fields when it is resent, else of To, Cc and Bcc."""
    prefix = _RESENT if is_resent(fields) else b""
    wanted = [prefix + name for name in _TO]
    return [address for field in fields if field.name in wanted for address in addresses(field.value) if address]


def completed(fields: list[Field], author: Author | None) -> bytes:
    """The header section without Bcc, and with what was missing at its end, if there is an author."""
    kept = [field.raw for field in fields if field.name not in _HIDDEN]
    if author is None:
        return b"".join(kept)
    prefix = "Resent-" if is_resent(fields) else ""
    present = {field.name for field in fields}
    additions = (
        ("Message-Id", author.message_id),
        ("Date", author.date),
        ("From", from_value(author)),
    )
    added = [
        f"{prefix}{name}: {value}\r\n".encode("utf-8", "surrogateescape")
        for name, value in additions
        if f"{prefix}{name}".lower().encode() not in present
    ]
    return b"".join((*kept, *added))


def from_value(author: Author) -> str:
    """The value of a From field, its name made safe."""
    name = " ".join("".join(sign if sign.isprintable() else " " for sign in author.name).split())
    return formataddr((name, author.address)) if name and author.address.isascii() else author.address
