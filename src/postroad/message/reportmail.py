"""What reports about TLS and DMARC have in common: the mail that one is in, and texts of strangers in them. Pure.

Of reports of others, whatever is wrong is a ReportError that says so, and nothing else is raised.
"""

import base64
from collections.abc import Callable, Sequence
from email.message import Message
from typing import Final
from urllib.parse import unquote

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


def clean(text: str) -> str:
    """A stranger's text, as it may be shown and kept."""
    return "".join(sign if sign.isprintable() else "?" for sign in text[:_TEXT])


def composed(fields: Sequence[str], kind: str, text: Sequence[str], file: str, part: tuple[str, bytes]) -> bytes:
    """A mail with the header `fields`, some lines for people, and the file of a report: its type and its octets.

    `kind` is the type of the whole, without its boundary.
    """
    boundary = f"=_report_{len(part[1])}_{len(file)}"
    coded = base64.b64encode(part[1]).decode()
    lines = (
        *fields,
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        f"Content-Type: {kind};",
        f'\tboundary="{boundary}"',
        "",
        f"--{boundary}",
        "Content-Type: text/plain; charset=us-ascii",
        "",
        *text,
        "",
        f"--{boundary}",
        f"Content-Type: {part[0]}",
        "Content-Transfer-Encoding: base64",
        f'Content-Disposition: attachment; filename="{file}"',
        "",
        *(coded[place : place + _LINE] for place in range(0, len(coded), _LINE)),
        f"--{boundary}--",
        "",
    )
    return "\r\n".join(lines).encode("ascii", "replace")


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
