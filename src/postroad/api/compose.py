"""From the parts of a message to its octets (RFC 5322, RFC 2045), by the standard library's email package.

Invariant: the header section has the fields that were meant and no other, whatever a client writes into a subject, a
name or a file's name: it is counted once more after it was written. Lines end in CRLF, all octets are below 128 but
for addresses that need SMTPUTF8. The time and the message's name are parameters.
"""

from collections.abc import Iterator
from email.errors import MessageError
from email.message import EmailMessage
from email.policy import SMTP
from typing import Final

from msgspec import Struct

from postroad.api.addresses import shown_as
from postroad.api.problem import invalid
from postroad.api.schema import Attachment, Message, Person
from postroad.message.headers import header_section
from postroad.model.address import Mailbox

# Fields that are made here, or that say how a message went and so are not for its author to write.
OURS: Final = frozenset(
    [
        "from",
        "sender",
        "to",
        "cc",
        "bcc",
        "reply-to",
        "subject",
        "date",
        "message-id",
        "received",
        "return-path",
        "mime-version",
        "content-type",
        "content-transfer-encoding",
        "content-disposition",
        "content-id",
        "delivered-to",
        "dkim-signature",
        "authentication-results",
        "arc-seal",
        "arc-message-signature",
        "arc-authentication-results",
    ]
)
_NAME: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
_TOKEN: Final = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


class Texts(Struct, frozen=True):
    """What is read: from the request, or from its template."""

    subject: str = ""
    text: str | None = None
    html: str | None = None


class Named(Struct, frozen=True):
    """Everybody a message names; `everyone` gets it, with the place where it says so."""

    author: Mailbox
    everyone: tuple[tuple[Mailbox, str], ...]
    utf8: bool


def people_of(message: Message) -> Named:
    """Everybody that `message` names; ApiError for what is no address."""
    if message.sender is None:
        raise invalid("/from", "is needed")
    author, _ = shown_as(message.sender, "/from")
    places = [(f"/{name}/{at}", one) for name, people in _receivers(message) for at, one in enumerate(people)]
    everyone = tuple((shown_as(one, place)[0], place) for place, one in places)
    replies = [shown_as(person, f"/reply_to/{at}")[0] for at, person in enumerate(message.reply_to)]
    return Named(author, everyone, any(one.needs_utf8 for one in (author, *(one for one, _ in everyone), *replies)))


def _receivers(message: Message) -> Iterator[tuple[str, list[str | Person]]]:
    yield "to", message.to
    yield "cc", message.cc
    yield "bcc", message.bcc


def compose(message: Message, texts: Texts, *, date: str, message_id: str, utf8: bool) -> bytes:
    """The octets of `message`; ApiError when something in it cannot be said in mail."""
    mail = EmailMessage(policy=SMTP.clone(cte_type="7bit", utf8=utf8))
    try:
        _write_head(mail, message, texts, date, message_id)
        _write_body(mail, message, texts)
        octets = mail.as_bytes()
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, MessageError) as error:
        raise invalid("", f"cannot be written as mail: {error}") from None
    expected = [name.lower() for name in mail]
    written = [
        line.partition(b":")[0].decode("ascii", "replace").lower()
        for line in header_section(octets).split(b"\r\n")[:-1]
        if not line.startswith((b" ", b"\t"))
    ]
    if (
        written != expected
        or octets.count(b"\0")
        or octets.replace(b"\r\n", b"").translate(None, b"\r\n") != octets.replace(b"\r\n", b"")
    ):
        raise invalid("", "cannot be written as mail: a field would become several")
    return octets


def _write_head(mail: EmailMessage, message: Message, texts: Texts, date: str, message_id: str) -> None:
    if message.sender is not None:
        mail["From"] = shown_as(message.sender, "/from")[1]
    for name, people in (("To", message.to), ("Cc", message.cc), ("Reply-To", message.reply_to)):
        if people:
            mail[name] = [shown_as(person, f"/{name}")[1] for person in people]
    mail["Subject"] = _line(texts.subject, "/subject")
    mail["Date"] = date
    mail["Message-ID"] = message_id
    seen = set(OURS)
    for name, value in message.headers.items():
        if not name or set(name) - _NAME or len(name) > 70:
            raise invalid("/headers", "the name of a field is letters, digits and hyphens")
        if name.lower() in seen:
            raise invalid("/headers", f"{name} is not for the request to set, or is there twice")
        seen.add(name.lower())
        mail[name] = _line(value, "/headers")


def _line(text: str, pointer: str) -> str:
    if any(sign in text for sign in "\r\n\0") or not text.replace("\t", "").isprintable():
        raise invalid(pointer, "has a line end or a character that does not print")
    return text


def _write_body(mail: EmailMessage, message: Message, texts: Texts) -> None:
    if texts.text is not None or texts.html is None:
        mail.set_content(_lines(texts.text or ""), cte=_encoding(texts.text or ""))
    inline = [(at, one) for at, one in enumerate(message.attachments) if one.content_id]
    if texts.html is not None:
        html = _lines(texts.html)
        if texts.text is None:
            mail.set_content(html, subtype="html", cte=_encoding(html))
            part: EmailMessage = mail
        else:
            mail.add_alternative(html, subtype="html", cte=_encoding(html))
            part = _last(mail)
        for at, one in inline:
            main, sub = _kind(one, at)
            part.add_related(
                one.content,
                main,
                sub,
                cid=f"<{_content_id(one, at)}>",
                disposition="inline",
                filename=_filename(one, at),
            )
    elif inline:
        raise invalid(f"/attachments/{inline[0][0]}/content_id", "there is no html that could show it")
    for at, one in enumerate(message.attachments):
        if not one.content_id:
            main, sub = _kind(one, at)
            mail.add_attachment(one.content, main, sub, filename=_filename(one, at))


def _last(mail: EmailMessage) -> EmailMessage:
    parts = mail.get_payload()
    last = parts[-1] if isinstance(parts, list) else None
    assert isinstance(last, EmailMessage), "an alternative was added"
    return last


def _lines(text: str) -> str:
    if "\0" in text:
        raise invalid("", "a text has a NUL")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _encoding(text: str) -> str:
    """Plain text as it is where it can go so (RFC 5322 2.1.1); what is mostly not ASCII in base64."""
    if text.isascii() and all(len(line) <= 900 for line in text.split("\n")):
        return "7bit"
    others = sum(sign > "\x7f" for sign in text)
    return "base64" if others * 3 > len(text) else "quoted-printable"


def _kind(one: Attachment, at: int) -> tuple[str, str]:
    main, slash, sub = one.content_type.lower().partition("/")
    if not slash or not main or not sub or set(main + sub) - _TOKEN or main in ("multipart", "message"):
        raise invalid(f"/attachments/{at}/content_type", 'is not of the form "image/png", or is no type of a file')
    return main, sub


def _content_id(one: Attachment, at: int) -> str:
    text = one.content_id
    if not text.isascii() or not text.isprintable() or set(text) & set('<>()[]\\,;:" '):
        raise invalid(f"/attachments/{at}/content_id", "has a character that a Content-ID cannot have")
    return text


def _filename(one: Attachment, at: int) -> str | None:
    if not one.filename.isprintable():
        raise invalid(f"/attachments/{at}/filename", "has a character that does not print")
    return one.filename or None
