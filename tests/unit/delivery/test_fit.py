"""The form a message takes for a peer: BODY, SMTPUTF8, BDAT or DATA, conversion, or a clear failure."""

import pytest

from postroad.delivery.cargo import Cargo
from postroad.delivery.fit import Fit, fit, fit_plain, recipient_refusal
from postroad.model.content import Content
from postroad.model.envelope import BODY_BINARYMIME, Recipient
from postroad.model.outcome import Failed, Scope
from postroad.model.route import SMTP, Target
from postroad.smtp.clientparse import Extensions
from tests.support.delivering import CONTENT, Large, make_works

TARGET = Target(SMTP, "mx.example.net", "192.0.2.1", 25)
EIGHT_BIT = CONTENT + "Grüße\r\n".encode()
SIGNED = b"DKIM-Signature: v=1\r\n" + EIGHT_BIT
UTF8_HEADER = "Subject: Grüße\r\n\r\nx\r\n".encode()


def cargo(
    *addresses: str | Recipient, content: Content = CONTENT, sender: str = "alice@example.org", **fields: object
) -> Cargo:
    works = make_works(*addresses, content=content, sender=sender, **fields)
    envelope = works[0].stored.envelope
    return Cargo(envelope, envelope.recipients, content)


async def fitted(load: Cargo, **extensions: object) -> Fit:
    outcome = await fit(load, Extensions(**extensions), TARGET)  # type: ignore[arg-type]  # fields by name
    assert isinstance(outcome, Fit)
    assert fit_plain(load, Extensions(**extensions)) in (None, outcome)  # type: ignore[arg-type]  # fields by name
    return outcome


async def refused(load: Cargo, **extensions: object) -> str:
    outcome = await fit(load, Extensions(**extensions), TARGET)  # type: ignore[arg-type]  # fields by name
    assert isinstance(outcome, Failed)
    assert fit_plain(load, Extensions(**extensions)) is None  # type: ignore[arg-type]  # fields by name
    assert outcome.scope is Scope.MESSAGE
    return f"{outcome.reply.code} {outcome.reply.enhanced}"


async def test_plain() -> None:
    load = cargo()
    form = await fitted(load, pipelining=True, chunking=True, eight_bit=True, smtputf8=True, binary=True)
    assert form == Fit(load, "MAIL FROM:<alice@example.org>")
    assert fit_plain(load, Extensions(hello=True)) == form


async def test_eight_bit() -> None:
    load = cargo(content=EIGHT_BIT, eight_bit=True)
    assert (await fitted(load, eight_bit=True)).mail.endswith(" BODY=8BITMIME")
    form = await fitted(load, has_size=True)
    content = form.cargo.content
    assert isinstance(content, bytes)
    assert content.isascii()
    assert form.mail == f"MAIL FROM:<alice@example.org> SIZE={form.cargo.size}"
    assert form.cargo.size == len(form.cargo.prefix) + len(content)


@pytest.mark.parametrize("content", [SIGNED, Large(SIGNED), Large(SIGNED * 2000)])
async def test_eight_bit_that_cannot_be_converted(content: Content) -> None:
    assert await refused(cargo(content=content, eight_bit=True)) == "554 5.6.3"


async def test_large_content_is_converted_too() -> None:
    form = await fitted(cargo(content=Large(EIGHT_BIT * 10_000), eight_bit=True))
    assert isinstance(form.cargo.content, bytes)
    assert form.cargo.content.isascii()


async def test_binary() -> None:
    load = cargo(content=EIGHT_BIT + b"bare\nlf\0", body=BODY_BINARYMIME, eight_bit=True)
    form = await fitted(load, chunking=True, binary=True, pipelining=True, eight_bit=True)
    assert form.is_chunked
    assert form.mail.endswith(" BODY=BINARYMIME")
    assert (await fitted(load, eight_bit=True)).mail == "MAIL FROM:<alice@example.org>"
    signed = cargo(content=SIGNED + b"bare\nlf", body=BODY_BINARYMIME, eight_bit=True)
    assert await refused(signed, eight_bit=True) == "554 5.6.1"


async def test_binary_in_name_alone_can_go_as_lines() -> None:
    load = cargo(content=SIGNED, body=BODY_BINARYMIME, eight_bit=True)
    assert (await fitted(load, eight_bit=True)).mail.endswith(" BODY=8BITMIME")
    assert await refused(load) == "554 5.6.1"


async def test_smtputf8() -> None:
    load = cargo("jörg@example.net", "bob@example.net", prefix="Received: für\r\n")
    form = await fitted(load, smtputf8=True, eight_bit=True)
    assert form.mail == "MAIL FROM:<alice@example.org> BODY=8BITMIME SMTPUTF8"
    assert recipient_refusal(load.recipients[0], form, TARGET) is None


async def test_smtputf8_in_name_alone_needs_no_smtputf8() -> None:
    assert (await fitted(cargo(smtputf8=True))).mail == "MAIL FROM:<alice@example.org>"
    assert (await fitted(cargo(smtputf8=True, content=Large(CONTENT)))).mail == "MAIL FROM:<alice@example.org>"


async def test_without_smtputf8() -> None:
    assert await refused(cargo(sender="jörg@example.org")) == "550 5.6.7"
    assert await refused(cargo(smtputf8=True, content=UTF8_HEADER)) == "554 5.6.7"
    assert await refused(cargo(smtputf8=True, content=Large(UTF8_HEADER))) == "554 5.6.7"
    assert await refused(cargo(smtputf8=True, prefix="Received: für\r\n")) == "554 5.6.7"
    load = cargo("jörg@example.net", "bob@example.net")
    form = await fitted(load)
    refusal = recipient_refusal(load.recipients[0], form, TARGET)
    assert refusal is not None
    assert (refusal.reply.code, refusal.reply.enhanced, refusal.scope) == (553, "5.6.7", Scope.RECIPIENT)
    assert recipient_refusal(load.recipients[1], form, TARGET) is None


async def test_header_that_never_ends_counts_as_internationalised() -> None:
    assert await refused(cargo(smtputf8=True, content=Large(b"X: y\r\n" * 1_000_000))) == "554 5.6.7"


async def test_size() -> None:
    load = cargo()
    assert await refused(load, has_size=True, size=load.size - 1) == "552 5.3.4"
    assert (await fitted(load, has_size=True, size=load.size)).mail.endswith(f" SIZE={load.size}")
    assert (await fitted(load, has_size=True, size=0)).mail.endswith(f" SIZE={load.size}")


async def test_chunks_where_they_serve() -> None:
    assert (await fitted(cargo(), chunking=True)).is_chunked
    assert (await fitted(cargo(content=Large(CONTENT)), chunking=True, pipelining=True)).is_chunked
    assert (await fitted(cargo(content=CONTENT + b"x"), chunking=True, pipelining=True)).is_chunked
    assert not (await fitted(cargo(content=CONTENT + b"x"), pipelining=True)).is_chunked
