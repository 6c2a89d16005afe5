"""Delivery status notifications: the report to the reverse-path, for people and for programs.

A multipart/report (RFC 6522 3) of a text, a message/delivery-status (RFC 3464 2) and the original or its header
section (RFC 3461 6.2). With addresses or header fields in UTF-8 the types are those of RFC 6533 4 to 6, and the
report itself needs SMTPUTF8. Auto-Submitted marks it as no letter of a person (RFC 3834 5). What remote hosts
and senders wrote is made harmless before it enters a line of ours. Pure: time, id and original come in.
"""

from binascii import b2a_qp
from email.header import Header
from textwrap import wrap
from typing import Final

from msgspec import Struct

from postroad.message.dsntexts import ENGLISH, Texts
from postroad.message.headers import header_section
from postroad.message.trace import format_date
from postroad.model.envelope import Envelope, Recipient

# RFC 3464 2.3.3: actions.
FAILED: Final = "failed"
DELAYED: Final = "delayed"
RELAYED: Final = "relayed"
DELIVERED: Final = "delivered"
EXPANDED: Final = "expanded"

_WORDS_LIMIT: Final = 2000  # characters kept of what a remote host said
_LINE: Final = 76
_HEX: Final = frozenset("0123456789ABCDEFabcdef")


class Notice(Struct, frozen=True, gc=False):
    """What is told about one recipient.

    `diagnostic` is the last reply, said by the host `remote` to `command`, or by us when `remote` is "".
    `at` and `retry_until` are microseconds since 1970; 0 leaves the field out. `expired`: no more time to try.
    """

    recipient: Recipient
    action: str
    status: str
    diagnostic: str = ""
    remote: str = ""
    command: str = ""
    at: int = 0
    retry_until: int = 0
    expired: bool = False


class Report(Struct, frozen=True):
    """A notification to be composed: its queue id and time, the original's envelope, what to tell, what to return.

    `original` is prefix and content when `full`, else at least the header section; empty when it cannot be read.
    `to` is set for a copy that goes to somebody else than the sender.
    """

    id: str
    hostname: str
    now: int
    envelope: Envelope
    notices: tuple[Notice, ...]
    original: bytes
    full: bool
    texts: Texts = ENGLISH
    to: str = ""


def needs_utf8(report: Report) -> bool:
    """True when the report holds addresses or header fields in UTF-8 and needs SMTPUTF8 to travel (RFC 6533 3)."""
    envelope = report.envelope
    if not envelope.sender.text.isascii():
        return True
    if any(not (item.recipient.address.text + item.recipient.orcpt).isascii() for item in report.notices):
        return True
    return envelope.smtputf8 and not header_section(report.original).isascii()


def compose(report: Report) -> bytes:
    """The report as content, header section and all, every line ended by CRLF."""
    utf8 = needs_utf8(report)
    text = _text_part(report, utf8=utf8)
    status = _status_part(report, utf8=utf8)
    original = _original_part(report, utf8=utf8)
    boundary = f"=_{report.id}_postroad".encode()
    while boundary in original:
        boundary += b"_"  # one that the original does not hold
    eight_bit = not (original.isascii() and text.isascii() and status.isascii())
    mark = b"--" + boundary + b"\r\n"
    return b"".join(
        (
            _header(report, boundary.decode(), utf8=utf8, eight_bit=eight_bit),
            b"\r\nThis is a MIME-encapsulated message.\r\n\r\n",
            mark,
            text,
            b"\r\n",
            mark,
            status,
            b"\r\n",
            *((mark, original, b"\r\n") if original else ()),
            b"--" + boundary + b"--\r\n",
        )
    )


def local_trace(hostname: str, queue_id: str, now: int) -> str:
    """The Received field of a message that begins its way here (RFC 5321 4.4), as prefix."""
    return f"Received: by {hostname} (Postroad) id {queue_id};\r\n\t{format_date(now)}\r\n"


def decode_xtext(text: str) -> str | None:
    """The value of `text` in xtext (RFC 3461 4); None when it is malformed or not printable ASCII."""
    if "+" not in text:
        return text if text.isascii() and text.isprintable() else None
    first, *rest = text.split("+")
    out = [first]
    for part in rest:
        if len(part) < 2 or not _HEX.issuperset(part[:2]):
            return None
        out.append(chr(int(part[:2], 16)) + part[2:])
    value = "".join(out)
    return value if value.isascii() and value.isprintable() else None


def _header(report: Report, boundary: str, *, utf8: bool, eight_bit: bool) -> bytes:
    envelope = report.envelope
    subject = _subject(report)
    kind = "global-delivery-status" if utf8 else "delivery-status"
    lines = [
        f"Date: {format_date(report.now)}",
        f"From: Mail Delivery System <MAILER-DAEMON@{report.hostname}>",
        f"To: <{report.to or envelope.sender.text}>",
        f"Subject: {subject}",
        f"Message-ID: <{report.id}@{report.hostname}>",
    ]
    told = envelope.message_id
    if told.startswith("<") and told.endswith(">") and told.isascii() and told.isprintable() and " " not in told:
        lines += [f"In-Reply-To: {told}", f"References: {told}"]
    lines += [
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type={kind};\r\n\tboundary="{boundary}"',
    ]
    if eight_bit:
        lines.append("Content-Transfer-Encoding: 8bit")
    return "".join(f"{line}\r\n" for line in lines).encode()


def _subject(report: Report) -> str:
    texts = report.texts
    subjects = (
        (FAILED, texts.subject_failed),
        (DELAYED, texts.subject_delayed),
        (EXPANDED, texts.subject_success),
        (RELAYED, texts.subject_success),
        (DELIVERED, texts.subject_success),
    )
    worst = next(subject for action, subject in subjects if any(item.action == action for item in report.notices))
    if report.to:
        worst = f"{texts.subject_copy}: {worst}"
    return worst if worst.isascii() else Header(worst, "utf-8", header_name="Subject").encode(linesep="\r\n")


def _text_part(report: Report, *, utf8: bool) -> bytes:
    texts = report.texts
    lines = _wrapped(texts.greeting.format(hostname=report.hostname))
    for action, paragraph in _paragraphs(report):
        lines += ["", *_wrapped(paragraph)]
        for notice in report.notices:
            if notice.action == action:
                lines += ["", *_story(notice, texts, utf8=utf8)]
    if report.original:
        lines += ["", *_wrapped(texts.copy if report.full else texts.header)]
    text = "\r\n".join(lines)
    if utf8 or text.isascii():
        body = text.encode("utf-8" if utf8 else "ascii", "replace")
        head = f"Content-Type: text/plain; charset={'utf-8' if utf8 else 'us-ascii'}\r\n{_encoding(body)}\r\n"
    else:  # words of ours in another language must not make the whole report need more than seven bits
        body = b2a_qp(text.encode(), istext=True)
        head = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    return head.encode() + body + b"\r\n"


def _wrapped(text: str) -> list[str]:
    return [line for paragraph in text.split("\n") for line in wrap(paragraph, _LINE) or [""]]


def _paragraphs(report: Report) -> list[tuple[str, str]]:
    """The sentence for each action that occurs, the worst first."""
    texts = report.texts
    arrived = format_date(report.envelope.arrived)
    until = format_date(max((notice.retry_until for notice in report.notices), default=0))
    sentences = (
        (FAILED, texts.failed.format(arrived=arrived)),
        (DELAYED, texts.delayed.format(arrived=arrived, until=until)),
        (EXPANDED, texts.expanded.format(arrived=arrived)),
        (RELAYED, texts.relayed.format(arrived=arrived)),
        (DELIVERED, texts.delivered.format(arrived=arrived)),
    )
    return [(action, text) for action, text in sentences if any(notice.action == action for notice in report.notices)]


def _story(notice: Notice, texts: Texts, *, utf8: bool) -> list[str]:
    said = _clean(notice.diagnostic, utf8=utf8)
    if notice.remote:
        host, command = _clean(notice.remote, utf8=utf8), _clean(notice.command, utf8=utf8)
        form = texts.said_to if command else texts.said
        said = form.format(host=host, reply=said, command=command)
    if notice.expired:
        said = texts.expired_after.format(reply=said) if said else texts.expired
    address = f"<{_clean(notice.recipient.address.text, utf8=utf8)}>{_sent_to(notice.recipient, texts, utf8=utf8)}:"
    return _pieces(f"{address} {said}" if said else address, indent="    ")


def _sent_to(recipient: Recipient, texts: Texts, *, utf8: bool) -> str:
    """Whom the message was sent to, when that is another address than the one it failed at: an alias."""
    original = _original_recipient(recipient.orcpt, utf8=utf8).partition("; ")[2] if recipient.orcpt else ""
    return f" ({texts.sent_to.format(address=original)})" if original and original != recipient.address.text else ""


def _status_part(report: Report, *, utf8: bool) -> bytes:
    envelope = report.envelope
    per_message = []
    if envelope.envid:
        envid = decode_xtext(envelope.envid)
        per_message.append(("Original-Envelope-Id", _clean(envelope.envid if envid is None else envid, utf8=utf8)))
    per_message += [
        ("Reporting-MTA", f"dns; {report.hostname}"),
        ("X-Postroad-Queue-ID", envelope.id),
        ("X-Postroad-Sender", _typed_address(envelope.sender.text)),
        ("Arrival-Date", format_date(envelope.arrived)),
    ]
    blocks = [per_message, *(_recipient_fields(notice, utf8=utf8) for notice in report.notices)]
    body = "\r\n".join("".join(_folded(name, value) for name, value in block) for block in blocks).encode()
    kind = "global-delivery-status" if utf8 else "delivery-status"
    return f"Content-Type: message/{kind}\r\n{_encoding(body)}\r\n".encode() + body


def _recipient_fields(notice: Notice, *, utf8: bool) -> list[tuple[str, str]]:
    recipient = notice.recipient
    found = []
    if recipient.orcpt:
        found.append(("Original-Recipient", _original_recipient(recipient.orcpt, utf8=utf8)))
    found += [
        ("Final-Recipient", _typed_address(recipient.address.text)),
        ("Action", notice.action),
        ("Status", _clean(notice.status, utf8=False)),
    ]
    if notice.remote:
        found.append(("Remote-MTA", f"dns; {_clean(notice.remote, utf8=utf8)}"))
    if notice.diagnostic:
        # RFC 3464 2.3.6: type smtp is for what a server said; our own words have a type of their own.
        kind = "smtp" if notice.remote else "x-postroad"
        found.append(("Diagnostic-Code", f"{kind}; {_clean(notice.diagnostic, utf8=utf8)}"))
    if notice.at:
        found.append(("Last-Attempt-Date", format_date(notice.at)))
    if notice.retry_until:
        found.append(("Will-Retry-Until", format_date(notice.retry_until)))
    return found


def _original_part(report: Report, *, utf8: bool) -> bytes:
    if not report.original:
        return b""  # RFC 6522 3: this part is optional
    if report.full:
        content = report.original
        kind = "message/global" if utf8 else "message/rfc822"
        description = "Undelivered Message"
    else:
        content = header_section(report.original)
        kind = "message/global-headers" if utf8 else "text/rfc822-headers"
        description = "Message Header Section"
    head = f"Content-Description: {description}\r\nContent-Type: {kind}\r\n{_encoding(content)}\r\n"
    return head.encode() + content


def _encoding(body: bytes) -> str:
    return "" if body.isascii() else "Content-Transfer-Encoding: 8bit\r\n"


def _typed_address(text: str) -> str:
    # RFC 6533 3: address type utf-8 for what rfc822 cannot hold.
    return f"{'rfc822' if text.isascii() else 'utf-8'}; {text}"


def _original_recipient(orcpt: str, *, utf8: bool) -> str:
    """ORCPT as Original-Recipient: xtext decoded; an utf-8 address stays as encoded (RFC 6533 3)."""
    kind, mark, address = orcpt.partition(";")
    if mark and kind.lower() != "utf-8":
        decoded = decode_xtext(address)
        address = address if decoded is None else decoded
    return _clean(f"{kind}; {address}" if mark else f"rfc822; {kind}", utf8=utf8)


def _clean(text: str, *, utf8: bool) -> str:
    """`text` as one line without control characters, in ASCII unless `utf8`, of bounded length."""
    text = text[:_WORDS_LIMIT]
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", " ").replace("\n", " ").replace("\t", " ")
    return "".join(sign if sign.isprintable() and (utf8 or sign.isascii()) else "?" for sign in text)


def _folded(name: str, value: str) -> str:
    """A field with its CRLF; long words of others are folded (RFC 5322 2.2.3), an address is never broken."""
    if len(name) + len(value) <= _LINE or not name.startswith("Diagnostic"):
        return f"{name}: {value}\r\n"
    return "\r\n".join(_pieces(f"{name}: {value}", indent=" ")) + "\r\n"


def _pieces(text: str, *, indent: str) -> list[str]:
    """`text` in lines of about 76 characters, never near the 998 octets of RFC 5322 2.1.1."""
    lines = wrap(text, _LINE, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    out = []
    for line in lines:
        while len(line) > 240:  # a word of at most 240 characters has at most 960 octets
            out.append(line[:240])
            line = indent + line[240:]
        out.append(line)
    return out
