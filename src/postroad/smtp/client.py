"""The client's side of a session without I/O: greeting, EHLO or HELO or LHLO, STARTTLS, then transactions.

The driver sends what `receive` returns until `is_ready`, `wants_tls` or `refused`. EHLO refused for good
falls back to HELO (RFC 5321 3.2); LMTP has LHLO alone (RFC 2033 4.1). What the peer offered before TLS is
forgotten (RFC 3207 4.2). The commands of a transaction carry only parameters that the peer offers.
"""

from collections.abc import Sequence
from typing import Final

from postroad.model.envelope import (
    BODY_7BIT,
    NOTIFY_DELAY,
    NOTIFY_FAILURE,
    NOTIFY_NEVER,
    NOTIFY_SUCCESS,
    Envelope,
    Recipient,
)
from postroad.model.errors import PeerError
from postroad.model.reply import Reply
from postroad.model.route import TLS_REQUIRETLS
from postroad.smtp.clientparse import Extensions, ReplyReader, parse_extensions
from postroad.smtp.probe import Probe
from postroad.smtp.transaction import Transaction

GREETING: Final = "greeting"
EHLO: Final = "EHLO"
LHLO: Final = "LHLO"
HELO: Final = "HELO"
STARTTLS: Final = "STARTTLS"

_NOTIFY: Final = ((NOTIFY_SUCCESS, "SUCCESS"), (NOTIFY_FAILURE, "FAILURE"), (NOTIFY_DELAY, "DELAY"))


class ClientSession:
    """One session as the client; `awaiting` is what the next reply answers, "" when ready for a transaction."""

    __slots__ = (
        "_hostname",
        "_is_lmtp",
        "_reader",
        "_wants_starttls",
        "awaiting",
        "extensions",
        "needs_reset",
        "refused",
        "wants_tls",
    )

    def __init__(self, hostname: str, *, lmtp: bool = False, starttls: bool = False) -> None:
        """Introduce ourselves as `hostname`; `starttls`: begin TLS where the peer offers it."""
        self._hostname = hostname
        self._is_lmtp = lmtp
        self._wants_starttls = starttls
        self._reader = ReplyReader()
        self.awaiting = GREETING
        self.extensions = Extensions()
        self.refused: Reply | None = None
        self.wants_tls = False
        self.needs_reset = False

    @property
    def is_ready(self) -> bool:
        """True when a transaction may begin."""
        return not self.awaiting

    def receive(self, data: bytes) -> bytes:
        """Take octets of the peer, give those to send; PeerError when it breaks the protocol."""
        out = b""
        for reply in self._reader.feed(data):
            if self.refused is not None:
                break
            if self.is_ready or self.wants_tls or out:
                raise PeerError("the peer sends replies that answer nothing")
            out = self._take(reply)
        return out

    def tls_started(self) -> bytes:
        """TLS is on: begin again with EHLO. PeerError when the peer sent octets in plain text behind its reply."""
        if not self._reader.is_between:
            raise PeerError("peer sent more than its reply before TLS began")
        self.wants_tls = False
        self._wants_starttls = False
        self.extensions = Extensions()
        return self._hello()

    def transaction(self, mail: str, recipients: list[str], *, is_chunked: bool = False) -> Transaction:
        """A transaction over this session, from whole commands without CRLF (`mail_command`, `recipient_commands`)."""
        assert not self.awaiting
        return Transaction(
            self._reader, self.extensions, mail, recipients, is_chunked=is_chunked, is_lmtp=self._is_lmtp
        )

    def probe(self, mail: str, recipients: Sequence[str]) -> Probe:
        """A question over this session, from whole commands without CRLF."""
        assert not self.awaiting
        return Probe(self._reader, mail, recipients, is_pipelined=self.extensions.pipelining)

    def _take(self, reply: Reply) -> bytes:
        awaiting = self.awaiting
        if 300 <= reply.code < 400:
            raise PeerError(f"reply {reply.code} to {awaiting} makes no sense")
        if awaiting == GREETING and reply.code < 300:
            return self._hello()
        if awaiting in (EHLO, LHLO) and reply.code < 300:
            self.extensions = parse_extensions(reply)
            if self._wants_starttls and self.extensions.starttls:
                self.awaiting = STARTTLS
                return b"STARTTLS\r\n"
        elif awaiting == EHLO and reply.code >= 500:
            self.awaiting = HELO
            return f"HELO {self._hostname}\r\n".encode()
        elif awaiting == STARTTLS and reply.code != 421:
            # A peer that offers TLS and cannot do it gets the mail in plain text: this is opportunistic.
            self.wants_tls = reply.code < 300
            if self.wants_tls:
                return b""
        elif reply.code >= 400:
            self.refused = reply
            return b""
        self.awaiting = ""
        return b""

    def _hello(self) -> bytes:
        self.awaiting = LHLO if self._is_lmtp else EHLO
        return f"{self.awaiting} {self._hostname}\r\n".encode()


def mail_command(
    envelope: Envelope, extensions: Extensions, *, size: int, body: str = BODY_7BIT, smtputf8: bool = False
) -> str:
    """MAIL with the parameters that the peer offers: SIZE, BODY, SMTPUTF8, RET, ENVID, REQUIRETLS.

    `size` is in octets with the prefix.
    """
    text = f"MAIL FROM:<{envelope.sender.text}>"
    if extensions.has_size:
        text = f"{text} SIZE={size}"
    if body != BODY_7BIT:
        text = f"{text} BODY={body}"
    if smtputf8:
        text = f"{text} SMTPUTF8"
    if extensions.dsn:
        if envelope.ret:
            text = f"{text} RET={envelope.ret}"
        if envelope.envid:
            text = f"{text} ENVID={envelope.envid}"
    if extensions.requiretls and envelope.tls == TLS_REQUIRETLS:
        text = f"{text} REQUIRETLS"  # RFC 8689 4.2.1
    return text


def recipient_commands(recipients: Sequence[Recipient], *, dsn: bool = False, smtputf8: bool = False) -> list[str]:
    """RCPT for each; `dsn`: with NOTIFY and ORCPT, which message and peer must both have (RFC 3461 5.2.1)."""
    if not dsn:
        return [f"RCPT TO:<{recipient.address.text}>" for recipient in recipients]
    return [_recipient_command(recipient, smtputf8=smtputf8) for recipient in recipients]


def _recipient_command(recipient: Recipient, *, smtputf8: bool) -> str:
    text = f"RCPT TO:<{recipient.address.text}>"
    if recipient.notify:
        text = f"{text} NOTIFY={_notify_words(recipient.notify)}"
    original = recipient.orcpt or original_recipient(recipient.address.text)
    return f"{text} ORCPT={original}" if smtputf8 or original.isascii() else text


def encode_xtext(text: str) -> str:
    """`text` with all but printable ASCII, plus and equals signs as +HH (RFC 3461 4)."""
    return "".join(sign if "!" <= sign <= "~" and sign not in "+=" else f"+{ord(sign):02X}" for sign in text)


def _notify_words(notify: int) -> str:
    if notify & NOTIFY_NEVER:
        return "NEVER"
    return ",".join(word for bit, word in _NOTIFY if notify & bit)


def original_recipient(address: str) -> str:
    """The value of ORCPT for `address` (RFC 3461 4.2)."""
    if address.isascii():
        return f"rfc822;{encode_xtext(address)}"
    # RFC 6533 3: utf-8-addr-unitext holds UTF-8 as it is, and a few signs as \x{HH}.
    return "utf-8;" + "".join(
        sign if sign > " " and sign not in "+=\\\x7f" else f"\\x{{{ord(sign):X}}}" for sign in address
    )
