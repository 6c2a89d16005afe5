"""How a message is sent to a peer with given extensions, or why it cannot be: SIZE, BODY, SMTPUTF8, BDAT or DATA.

What the peer cannot take is converted where that is safe and fails with a clear reply where not, before
anything is sent. RFC 1870 6.1, RFC 6152 3, RFC 3030 3, RFC 6531 3.2. BDAT is used where it is needed
(binary) or serves: content without a last CRLF stays as it is, large content needs no stuffing and can be
refused early, and without PIPELINING it saves a round trip.
"""

from msgspec import Struct

from postroad.delivery.cargo import Cargo, Convert, convert_in_thread
from postroad.model.envelope import BODY_7BIT, BODY_8BITMIME, BODY_BINARYMIME, Recipient
from postroad.model.outcome import Failed, Scope
from postroad.model.reply import Reply
from postroad.model.route import Target
from postroad.smtp.client import mail_command
from postroad.smtp.clientparse import Extensions


class Fit(Struct, gc=False):
    """The form a message takes for one peer; `dsn`: RCPT carries DSN parameters."""

    cargo: Cargo
    mail: str
    is_chunked: bool = False
    smtputf8: bool = False
    dsn: bool = False


def fit_plain(cargo: Cargo, extensions: Extensions) -> Fit | None:
    """The form of `cargo` as it is, when the peer takes it so; None when `fit` has to look closer."""
    envelope = cargo.envelope
    body = BODY_7BIT
    if envelope.eight_bit:
        body = BODY_8BITMIME
        if not extensions.eight_bit:
            return None
    is_plain = envelope.body != BODY_BINARYMIME and not _wants_utf8(cargo)
    if not is_plain or (extensions.size and cargo.size > extensions.size):
        return None
    return _form(cargo, extensions, body, smtputf8=False)


async def fit(
    cargo: Cargo, extensions: Extensions, target: Target, convert: Convert = convert_in_thread
) -> Fit | Failed:
    """The form of `cargo` for `target`, or the failure of the whole message there."""
    envelope = cargo.envelope
    body = BODY_7BIT
    if envelope.eight_bit or envelope.body == BODY_BINARYMIME:
        shaped = await _shape(cargo, extensions, convert)
        if isinstance(shaped, Reply):
            return Failed(shaped, Scope.MESSAGE, target)
        cargo, body = shaped
    smtputf8 = _wants_utf8(cargo)
    if smtputf8 and not extensions.smtputf8:
        refusal = await _utf8_refusal(cargo)
        if refusal is not None:
            return Failed(refusal, Scope.MESSAGE, target)
        smtputf8 = False
    elif smtputf8 and body == BODY_7BIT and not cargo.prefix.isascii():
        body = BODY_8BITMIME  # every peer with SMTPUTF8 has it (RFC 6531 3.1)
    if extensions.size and cargo.size > extensions.size:
        words = f"message of {cargo.size} octets is larger than the {extensions.size} that {target} takes"
        return Failed(Reply(552, "5.3.4", words), Scope.MESSAGE, target)
    return _form(cargo, extensions, body, smtputf8=smtputf8)


def _form(cargo: Cargo, extensions: Extensions, body: str, *, smtputf8: bool) -> Fit:
    mail = mail_command(cargo.envelope, extensions, size=cargo.size, body=body, smtputf8=smtputf8)
    dsn = extensions.dsn and _has_dsn(cargo)
    is_chunked = body == BODY_BINARYMIME or (extensions.chunking and _gains_by_chunks(cargo, extensions))
    return Fit(cargo, mail, is_chunked, smtputf8, dsn)


def recipient_refusal(recipient: Recipient, fitted: Fit, target: Target) -> Failed | None:
    """Why `recipient` cannot be sent to this peer: an internationalised address without SMTPUTF8."""
    if fitted.smtputf8 or recipient.address.text.isascii():
        return None
    return Failed(
        Reply(553, "5.6.7", f"{target} does not take internationalised addresses (SMTPUTF8)"), Scope.RECIPIENT, target
    )


def _wants_utf8(cargo: Cargo) -> bool:
    # It came with SMTPUTF8, or an address needs it however it came (RFC 6531 3.2).
    envelope = cargo.envelope
    return envelope.smtputf8 or not cargo.is_ascii or envelope.sender.needs_utf8


async def _shape(cargo: Cargo, extensions: Extensions, convert: Convert) -> tuple[Cargo, str] | Reply:
    """The form of content that is not declared plain, and its BODY value; or why there is none."""
    envelope = cargo.envelope
    if envelope.body != BODY_BINARYMIME:
        if extensions.eight_bit:
            return cargo, BODY_8BITMIME
        converted = await cargo.seven_bit(convert)
        if converted is None:
            return Reply(
                554,
                "5.6.3",
                "next hop does not take eight-bit content (8BITMIME), and converting would break the message",
            )
        return converted, BODY_7BIT
    if extensions.binary:
        return cargo, BODY_BINARYMIME
    converted = await cargo.seven_bit(convert)
    if converted is not None:
        return converted, BODY_7BIT
    if await cargo.is_line_text(convert) and (extensions.eight_bit or not envelope.eight_bit):
        return cargo, BODY_8BITMIME if envelope.eight_bit else BODY_7BIT
    return Reply(
        554, "5.6.1", "next hop does not take binary content (BINARYMIME), and converting would break the message"
    )


async def _utf8_refusal(cargo: Cargo) -> Reply | None:
    if cargo.envelope.sender.needs_utf8:
        return Reply(
            550, "5.6.7", "next hop does not take internationalised addresses (SMTPUTF8), and the sender has one"
        )
    if not await cargo.has_plain_header():
        return Reply(554, "5.6.7", "next hop does not take internationalised header fields (SMTPUTF8)")
    return None


def _has_dsn(cargo: Cargo) -> bool:
    envelope = cargo.envelope
    if envelope.ret or envelope.envid:
        return True
    for recipient in cargo.recipients:  # noqa: SIM110  # a generator costs more than it saves here
        if recipient.notify or recipient.orcpt:
            return True
    return False


def _gains_by_chunks(cargo: Cargo, extensions: Extensions) -> bool:
    content = cargo.content
    if not isinstance(content, bytes):
        return True
    return not extensions.pipelining or not content.endswith(b"\r\n")
