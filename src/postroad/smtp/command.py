"""Command arguments: octets of one line to typed values.

The grammar of RFC 5321 4.1.1 and 4.1.2, SIZE (RFC 1870 3), BODY (RFC 6152 2, RFC 3030 3), SMTPUTF8
(RFC 6531 3.4), DSN parameters (RFC 3461 4), REQUIRETLS (RFC 8689 2). A space after the colon and a path
without brackets are taken, since printers and scripts send them. What cannot be parsed raises `RefusalError`
with the reply.
"""

from typing import Final

from postroad.model.address import Mailbox, parse_path
from postroad.model.envelope import NOTIFY_DELAY, NOTIFY_FAILURE, NOTIFY_NEVER, NOTIFY_SUCCESS
from postroad.model.errors import AddressError, CommandError
from postroad.model.reply import Reply
from postroad.smtp import replies
from postroad.smtp.events import MailFrom, RcptTo

_NOTIFY: Final = {"SUCCESS": NOTIFY_SUCCESS, "FAILURE": NOTIFY_FAILURE, "DELAY": NOTIFY_DELAY}.items()
_BODIES: Final = frozenset(("7BIT", "8BITMIME", "BINARYMIME"))
ENVID_LIMIT: Final = 100  # RFC 3461 4.4
ORCPT_LIMIT: Final = 500  # RFC 3461 4.2
CHUNK_LIMIT: Final = 20  # digits; RFC 3030 2 sets no limit, the message size does


class RefusalError(CommandError):
    """A command that is refused as it stands: `reply` for the peer, the text for the log."""

    def __init__(self, reply: Reply, detail: str) -> None:
        """Refuse with `reply`; `detail` says exactly why."""
        super().__init__(detail)
        self.reply = reply


def parse_mail(argument: bytes, *, auth: bool = False, requiretls: bool = False) -> MailFrom:
    """MAIL's argument, "FROM:<path> parameters" (RFC 5321 4.1.1.2); with `auth` one may be AUTH=.

    With `requiretls`, which is for sessions under TLS alone, one may be REQUIRETLS (RFC 8689 2).
    """
    raw, parameters = _split(argument, b"FROM:")
    if not parameters:
        return MailFrom(_mailbox(raw, sender=True, utf8=False))
    allowed = _MAIL_KEYWORDS_AUTH if auth else _MAIL_KEYWORDS
    known = _keywords(parameters, allowed | _REQUIRETLS if requiretls else allowed)
    if known.get("REQUIRETLS"):
        raise RefusalError(replies.SYNTAX, "REQUIRETLS takes no value")
    smtputf8 = "SMTPUTF8" in known
    if known.get("SMTPUTF8"):
        raise RefusalError(replies.SYNTAX, "SMTPUTF8 takes no value")
    path = _mailbox(raw, sender=True, utf8=smtputf8)
    size = known.get("SIZE", "0")
    if not (size.isascii() and size.isdigit() and len(size) <= CHUNK_LIMIT):
        raise RefusalError(replies.SYNTAX, f"SIZE={size!r} is no number")
    body = known.get("BODY", "7BIT").upper()
    if body not in _BODIES:
        raise RefusalError(replies.SYNTAX, f"BODY={body!r} is unknown")
    ret = known.get("RET", "").upper()
    if "RET" in known and ret not in ("FULL", "HDRS"):
        raise RefusalError(replies.SYNTAX, f"RET={ret!r} is unknown")
    envid = known.get("ENVID", "")
    if "ENVID" in known and not (0 < len(envid) <= ENVID_LIMIT and is_xtext(envid)):
        raise RefusalError(replies.SYNTAX, "ENVID is not xtext of at most 100 characters")
    if "AUTH" in known:
        _refuse_submitter(known["AUTH"])
    return MailFrom(path, int(size), body, smtputf8, ret, envid, "REQUIRETLS" in known)


def parse_rcpt(argument: bytes, *, utf8: bool) -> RcptTo:
    """RCPT's argument, "TO:<path> parameters" (RFC 5321 4.1.1.3); `utf8` after SMTPUTF8."""
    raw, parameters = _split(argument, b"TO:")
    path = _mailbox(raw, sender=False, utf8=utf8)
    if not parameters:
        return RcptTo(path)
    known = _keywords(parameters, _RCPT_KEYWORDS)
    notify = _notify(known["NOTIFY"]) if "NOTIFY" in known else 0
    orcpt = known.get("ORCPT", "")
    if "ORCPT" in known:
        kind, semicolon, address = orcpt.partition(";")
        form = utf8 and kind.lower() == "utf-8" and address.isprintable()  # RFC 6533 3
        if not (is_atom(kind) and semicolon and address and len(orcpt) <= ORCPT_LIMIT and (form or is_xtext(address))):
            raise RefusalError(replies.SYNTAX, "ORCPT is not atom;xtext of at most 500 characters")
    return RcptTo(path, notify, orcpt)


def parse_bdat(argument: bytes) -> tuple[int, bool]:
    """BDAT's argument, "octets [LAST]", as (octets, last) (RFC 3030 2)."""
    words = argument.split()
    size = words[0] if words else b""
    if not (0 < len(size) <= CHUNK_LIMIT and size.isdigit()) or len(words) > 2:
        raise RefusalError(replies.SYNTAX, "BDAT takes a number of octets and optionally LAST")
    if len(words) == 2 and words[1].upper() != b"LAST":
        raise RefusalError(replies.SYNTAX, f"BDAT with {words[1]!r}")
    return int(size), len(words) == 2


def parse_hello(argument: bytes) -> str:
    """The name in EHLO or HELO; anything printable without spaces is taken (RFC 5321 4.1.4)."""
    name = argument.strip()
    if not name or len(name) > 255 or b" " in name:
        raise RefusalError(replies.SYNTAX, "EHLO and HELO take one name")
    text = name.decode("utf-8", "replace")
    if not text.isprintable():
        raise RefusalError(replies.SYNTAX, "the name in EHLO or HELO has control characters")
    return text


def refuse_argument(argument: bytes, verb: str) -> None:
    """Raise when a command that takes no argument has one (RFC 5321 4.3.2, code 501)."""
    if argument.strip():
        raise RefusalError(replies.SYNTAX, f"{verb} takes no argument")


def is_atom(text: str) -> bool:
    """True when `text` is an atom (RFC 5322 3.2.3), as types of addresses are (RFC 3461 4.2)."""
    return bool(text) and text.isascii() and text.isprintable() and not set(text) & set(' ()<>@,;:\\".[]')


def is_xtext(text: str) -> bool:
    """True when `text` is xtext: printable ASCII without "=", "+" only before two hexadecimal digits (RFC 3461 4)."""
    if not text.isascii() or not text.isprintable() or "=" in text or " " in text:
        return False
    return all(len(part) >= 2 and not set(part[:2]) - set("0123456789ABCDEF") for part in text.split("+")[1:])


_MAIL_KEYWORDS: Final = frozenset(("SIZE", "BODY", "SMTPUTF8", "RET", "ENVID"))
_MAIL_KEYWORDS_AUTH: Final = _MAIL_KEYWORDS | {"AUTH"}
_REQUIRETLS: Final = frozenset(("REQUIRETLS",))
_RCPT_KEYWORDS: Final = frozenset(("NOTIFY", "ORCPT"))


def _split(argument: bytes, word: bytes) -> tuple[bytes, list[str]]:
    """The octets of the path and the parameters in `FROM:<path> a=b c`."""
    if argument[: len(word)].upper() != word:
        raise RefusalError(replies.SYNTAX, f"expected {word.decode()}<address>")
    rest = argument[len(word) :].lstrip(b" ")
    if rest[:1] == b"<":
        end = rest.find(b">") if b'"' not in rest else _closing_bracket(rest)
        if end < 0:
            raise RefusalError(replies.SYNTAX, "the path has no closing bracket")
        path, tail = rest[1:end], rest[end + 1 :]
    else:
        path, _, tail = rest.partition(b" ")
        if not path or b"<" in path or b">" in path:
            raise RefusalError(replies.SYNTAX, "the path is missing")
        tail = b" " + tail if tail else b""
    if not tail:
        return path, []
    if tail[:1] != b" ":
        raise RefusalError(replies.SYNTAX, "something follows the path without a space")
    try:
        return path, tail.decode("utf-8").split()
    except UnicodeDecodeError:
        raise RefusalError(replies.SYNTAX, "a parameter is not UTF-8") from None


def _closing_bracket(text: bytes) -> int:
    """Where the ">" outside quotes is, or -1."""
    quoted = escaped = False
    for place, octet in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and octet == 0x5C:
            escaped = True
        elif octet == 0x22:
            quoted = not quoted
        elif octet == 0x3E and not quoted:
            return place
    return -1


def _mailbox(path: bytes, *, sender: bool, utf8: bool) -> Mailbox:
    if not (utf8 or path.isascii()):
        reply = replies.NEEDS_SMTPUTF8_SENDER if sender else replies.NEEDS_SMTPUTF8_RECIPIENT
        raise RefusalError(reply, "address has octets above 127 without SMTPUTF8")
    try:
        mailbox = parse_path(path, utf8=utf8)
    except AddressError as error:
        raise RefusalError(replies.BAD_SENDER if sender else replies.BAD_RECIPIENT, str(error)) from None
    if sender and not (mailbox.domain or mailbox.is_null):  # only RCPT may have it bare (RFC 5321 4.1.1.3)
        raise RefusalError(replies.BAD_SENDER, "sender without a domain")
    if mailbox.is_null and not sender:
        raise RefusalError(replies.BAD_RECIPIENT, "the null path is no recipient")
    return mailbox


def _keywords(words: list[str], allowed: frozenset[str]) -> dict[str, str]:
    """ESMTP parameters as keyword to value, "" without one (RFC 5321 4.1.2 esmtp-param)."""
    known: dict[str, str] = {}
    for word in words:
        keyword, _, value = word.partition("=")
        keyword = keyword.upper()
        if keyword not in allowed:
            raise RefusalError(replies.UNKNOWN_PARAMETER, f"parameter {word!r}")
        if keyword in known:
            raise RefusalError(replies.SYNTAX, f"parameter {keyword} is given twice")
        known[keyword] = value
    return known


def _refuse_submitter(value: str) -> None:
    """Raise unless AUTH= is of its form; no client is trusted to name another, so it means "<>" (RFC 4954 5)."""
    if value == "<>":
        return
    if not is_xtext(value):
        raise RefusalError(replies.SYNTAX, "AUTH= is not xtext")
    first, *coded = value.split("+")
    octets = first.encode() + b"".join(bytes.fromhex(part[:2]) + part[2:].encode() for part in coded)
    try:
        parse_path(octets, utf8=True)
    except AddressError as error:
        raise RefusalError(replies.SYNTAX, f"AUTH= is no address: {error}") from None


def _notify(value: str) -> int:
    # RFC 3461 4.1: NEVER stands alone, the others are joined by commas.
    if value.upper() == "NEVER":
        return NOTIFY_NEVER
    bits = 0
    for word in value.upper().split(","):
        bit = next((bit for name, bit in _NOTIFY if name == word), 0)
        if not bit or bits & bit:
            raise RefusalError(replies.SYNTAX, f"NOTIFY={value!r}")
        bits |= bit
    return bits
