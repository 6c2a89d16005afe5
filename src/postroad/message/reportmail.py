"""What reports about TLS and DMARC have in common: who sends them, their mail, and texts of strangers in them. Pure.

Of reports of others, whatever is wrong is a ReportError that says so, and nothing else is raised.
"""

import base64
import gzip
from collections.abc import Callable, Sequence
from email.message import Message
from typing import Final
from urllib.parse import unquote

from msgspec import Struct

from postroad.message.mailparts import parts_of
from postroad.model.address import Mailbox, parse_mailbox
from postroad.model.errors import AddressError, PostroadError

MAIL_LIMIT: Final = 10 << 20  # octets of a mail that are looked at
_TEXT: Final = 300  # characters kept of each text
_LINE: Final = 76


class ReportError(PostroadError):
    """It is no report, or none that can be used; in words."""


class NoReportError(ReportError):
    """The mail does not even look like one that brings a report."""


class Author(Struct, frozen=True):
    """Who reports: `sender` is the address in From, `contact` how people reach us, "" for that address."""

    organization: str
    contact: str
    sender: str

    @property
    def submitter(self) -> str:
        """Our domain, as reports have it."""
        return self.sender.rpartition("@")[2]


def author_of(organization: str, contact: str, sender: str) -> Author:
    """One whose organization is called like the domain of `sender` when it has no name."""
    return Author(organization or sender.rpartition("@")[2], contact, sender)


def part_of(content: bytes, is_wanted: Callable[[Message], bool], what: str) -> tuple[bytes, str]:
    """The first part of a mail that is wanted: its octets and its type; NoReportError when there is none."""
    if len(content) > MAIL_LIMIT:
        raise ReportError(f"the mail is larger than {MAIL_LIMIT >> 20} MiB")
    try:
        part = next((one for one in parts_of(content) if is_wanted(one)), None)
        body = None if part is None else part.get_payload(decode=True)
    except (ValueError, LookupError, TypeError) as error:  # TypeError: parameters in pieces, numbered oddly
        raise ReportError(f"the mail cannot be read: {type(error).__name__}") from None
    if part is None or not isinstance(body, bytes):
        raise NoReportError(f"the mail has no part of {what}")
    return body, part.get_content_type()


def clean(text: str, most: int = _TEXT) -> str:
    """A stranger's text, as it may be shown and kept; `most` characters of it."""
    return "".join(sign if sign.isprintable() else "?" for sign in text[:most])


def packed(report: bytes) -> bytes:
    """A report as it is sent; the same each time."""
    return gzip.compress(report, mtime=0)


def composed(fields: Sequence[str], kind: str, boundary: str, parts: Sequence[Sequence[str]]) -> bytes:
    """A mail with the header `fields` and `parts`, each in lines with its own header; no line may be the boundary.

    `kind` is the type of the whole, without its boundary.
    """
    lines = [
        *fields,
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        f"Content-Type: {kind};",
        f'\tboundary="{boundary}"',
        "",
    ]
    for part in parts:
        lines += (f"--{boundary}", *part)
    return "\r\n".join((*lines, f"--{boundary}--", "")).encode("ascii", "replace")


def boundary_of(file: str, octets: bytes) -> str:
    """A boundary for the mail of one file; base64 and our own text never hold it."""
    return f"=_report_{len(octets)}_{len(file)}"


def text_part(*lines: str) -> tuple[str, ...]:
    """A part of a mail with lines for people."""
    return ("Content-Type: text/plain; charset=us-ascii", "", *lines, "")


def file_part(kind: str, name: str, octets: bytes) -> tuple[str, ...]:
    """A part of a mail with a file of the type `kind`."""
    coded = base64.b64encode(octets).decode()
    return (
        f"Content-Type: {kind}",
        "Content-Transfer-Encoding: base64",
        f'Content-Disposition: attachment; filename="{name}"',
        "",
        *(coded[place : place + _LINE] for place in range(0, len(coded), _LINE)),
    )


def mailbox_of(uri: str) -> Mailbox | None:
    """The address of a mailto URI; None when it is none."""
    if uri[:7].lower() != "mailto:":
        return None
    text = unquote(uri[7:].partition("?")[0], errors="replace")
    try:
        mailbox = parse_mailbox(text)
    except AddressError:
        return None
    return mailbox if mailbox.domain and text.isascii() and text.isprintable() else None
