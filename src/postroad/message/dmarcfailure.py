"""Failure reports about DMARC: one message that failed, as a value, and the mail that tells of it. Pure.

Who asks for such reports learns who sent in his name, and not to whom: of the message's header only some fields are
told, none with recipients, and nothing of its body. What strangers wrote is made harmless before it enters a line of
ours. RFC 6591 3.1 (fields), RFC 5965 2 (form), RFC 7489 7.3.1 (alignment).
"""

from typing import Final

from msgspec import Struct

from postroad import VERSION
from postroad.message.reportmail import clean, composed, text_part
from postroad.message.trace import format_date
from postroad.model.address import Mailbox

TOLD: Final = frozenset(
    b"date dkim-signature from list-id message-id reply-to sender subject user-agent x-mailer".split()
)
HEADER_LIMIT: Final = 16 * 1024  # octets of the header that are told
_LINE_LIMIT: Final = 990


class Failure(Struct, frozen=True):
    """A message in the name of `author` that failed what `domain` asks for, whose record names who is told.

    `why` is a word of RFC 6591 3.1 ("dmarc", "signature", "spf"); `done` is "none", "quarantine" or "reject". `results`
    is what follows Authentication-Results and its colon. `signed` are domain, identity and selector of a signature.
    """

    domain: str
    author: str
    at: int
    why: str
    done: str
    source_ip: str
    sender: str
    results: str
    aligned: tuple[str, ...] = ()
    signed: tuple[str, str, str] | None = None
    header: tuple[bytes, ...] = ()


def compose(failure: Failure, sender: str, to: Mailbox, message_id: str, now: int) -> bytes:
    """The mail from the address `sender`; `now` in microseconds since 1970."""
    header = "\r\n".join(_header(failure.header))
    boundary = f"=_failure_{now}"
    while boundary in header:
        boundary += "_"  # one that the header does not hold
    fields = (
        f"From: <{sender}>",
        f"To: <{to.text}>",
        f"Date: {format_date(now)}",
        f"Subject: DMARC failure report for {failure.author}",
        f"Message-ID: {message_id}",
    )
    text = text_part(
        f"This is a report about a message in the name of {failure.author} that came from",
        f"{failure.source_ip} on {format_date(failure.at)} and failed authentication.",
    )
    feedback = ("Content-Type: message/feedback-report", "", *_fields(failure), "")
    told = ("Content-Type: text/rfc822-headers", "", header, "")
    return composed(fields, "multipart/report; report-type=feedback-report", boundary, (text, feedback, told))


def _fields(failure: Failure) -> list[str]:
    lines = [
        "Feedback-Type: auth-failure",
        f"User-Agent: Postroad/{VERSION}",
        "Version: 1",
        f"Auth-Failure: {failure.why}",
        f"Authentication-Results:{failure.results}",
        f"Identity-Alignment: {', '.join(failure.aligned) or 'none'}",
        f"Arrival-Date: {format_date(failure.at)}",
        f"Source-IP: {failure.source_ip}",
        f"Original-Mail-From: <{clean(failure.sender)}>",
        f"Reported-Domain: {failure.author}",
    ]
    if failure.done != "none":
        lines.append(f"Delivery-Result: {'reject' if failure.done == 'reject' else 'policy'}")
    if failure.signed is not None:
        names = ("DKIM-Domain", "DKIM-Identity", "DKIM-Selector")
        lines += [f"{name}: {clean(text)}" for name, text in zip(names, failure.signed, strict=True) if text]
    return lines


def _header(fields: tuple[bytes, ...]) -> list[str]:
    """The lines of `fields`, as many whole fields as fit."""
    found: list[str] = []
    left = HEADER_LIMIT
    for field in fields:
        left -= len(field)
        if left < 0:
            break
        lines = field.decode("ascii", "replace").split("\r\n")
        found += ["".join(map(_harmless, line[:_LINE_LIMIT])) for line in lines]
    return found


def _harmless(sign: str) -> str:
    return sign if sign == "\t" or " " <= sign <= "~" else "?"
