"""Mail that brings reports, against anything: a report, or an error that says so; never a fault, and soon."""

import time
from contextlib import suppress
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP, default
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.message import dmarcreportread, tlsrptread
from postroad.message.dmarcreportread import REPORT_LIMIT, read_report
from postroad.message.mailparts import PARTS, parts_of
from postroad.message.reportmail import ReportError

SECONDS: Final = 40.0  # of this thread's CPU: twenty times what it needs; what these stand for would need minutes
MEBI: Final = 1 << 20
FEEDBACK: Final = b"<feedback><report_metadata><report_id>1</report_id></report_metadata>"


def nested(depth: int) -> bytes:
    """Multiparts in multiparts."""
    begin = b"Content-Type: multipart/mixed; boundary=b0\r\n\r\n"
    return begin + b"".join(
        b"--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n" % (at, at + 1) for at in range(depth)
    )


@pytest.mark.parametrize(
    "content",
    [
        b"Content-Type: application/x" + b";" * MEBI + b"\r\n\r\nx",
        b"Content-Type: application/x" + b";a=b" * (MEBI // 4) + b"\r\n\r\nx",
        b"Content-Type: application/x" + b"".join(b";\r\n name*%d=b" % at for at in range(70_000)) + b"\r\n\r\nx",
        b'Content-Disposition: attachment; filename="' + b'\\";' * MEBI + b"\r\nContent-Type: application/x\r\n\r\nx",
        nested(500) + b"x\r\n" * 200_000,
        nested(100_000),
        b"Content-Type: message/rfc822\r\n\r\n" * 50_000,
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * MEBI,
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b" + b" " * 8 * MEBI,
        b"a: b\r\n" * MEBI,
        b"\r\n" * (4 * MEBI),
    ],
    ids=[
        "semicolons",
        "parameters",
        "pieces",
        "quotes",
        "depth",
        "deeper",
        "messages",
        "parts",
        "spaces",
        "head",
        "lines",
    ],
)
def test_mail_that_makes_parsers_slow(content: bytes) -> None:
    began = time.thread_time()
    for read in (dmarcreportread.report_in_mail, tlsrptread.report_in_mail):
        with pytest.raises(ReportError):
            read(content)
    assert time.thread_time() - began < SECONDS


def filled(unit: bytes) -> bytes:
    """As many of `unit` as a report may hold."""
    return unit * ((REPORT_LIMIT - 200) // len(unit))


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        (filled(b"<a/>"), "too many elements"),
        (b"<report_metadata>" + filled(b"<a>b</a>") + b"</report_metadata>", "too many elements"),
        (b"".join(b"<a%d/>" % at for at in range(1_000_000)), "too many names"),
        (b"<x " + filled(b"a='' "), "too many attributes"),
        (b"<x>" + filled(b"\n") + b"</x>", "no id or no domain"),
        (b"<x>" + filled(b"&#65;") + b"</x>", "no id or no domain"),
        (b"<" + filled(b"a") + b"/>", "no id or no domain"),
        (b"<x>" + filled(b"]]"), "no XML"),
    ],
    ids=["elements", "leaves", "names", "attributes", "lines", "references", "name", "brackets"],
)
def test_xml_that_makes_parsers_slow(inside: bytes, words: str) -> None:
    began = time.thread_time()
    with pytest.raises(ReportError, match=words):
        read_report(FEEDBACK + inside + b"</feedback>")
    assert time.thread_time() - began < SECONDS


MAIL: Final = rb"""
--b --c --b-- ; " = *0*= name*1 Content-Type: Content-Transfer-Encoding: Content-Disposition:attachment;filename
utf-8''% multipart/mixed;boundary=b multipart/report;boundary=c message/rfc822 text/xml;name=a application/gzip
application/octet-stream;name=a.zip application/tlsrpt+gzip application/tlsrpt+json base64 quoted-printable x-uuencode
=?utf-8?q?a?= <feedback> {}
"""
ENDS: Final = (b"\r\n", b"\n", b"\r\n\r\n", b"\0", b"\xff", b" ", b"begin 666 x\n")
TOKENS = st.sampled_from([*MAIL.split(), *ENDS, b"\x1f\x8b\x08\0", b"PK\x03\x04", b"PK\x05\x06"])


@given(st.lists(TOKENS | st.binary(max_size=4), max_size=60).map(b"".join))
def test_any_mail_is_a_report_or_an_error(content: bytes) -> None:
    for read in (dmarcreportread.report_in_mail, tlsrptread.report_in_mail):
        with suppress(ReportError):
            read(content)


REPORT: Final = b"""
<feedback> </feedback> <record> </record> <row> </row> <count> </count> 9 <report_metadata> </report_metadata>
<report_id>1</report_id> <source_ip>::1</source_ip> <policy_published><domain>x</domain></policy_published>
<date_range><begin>1</begin><end>2</end></date_range> &a; &amp; &#0; <![CDATA[ ]]> <!-- --> utf-16 unicode_escape zlib
utf-7 idna '?> xmlns='u' <auth_results> </auth_results> <dkim> </dkim> <reason> </reason> ]> \xef\xbb\xbf
"""
DECLARED: Final = (b"<!DOCTYPE x [", b"<!ENTITY a 'b'>", b"<?xml version='1.0' encoding='", b"<a:b ")
XML = st.sampled_from([*REPORT.split(), *DECLARED])


@given(st.lists(XML | st.binary(max_size=3), max_size=40).map(b"".join))
def test_any_xml_is_a_report_or_an_error(text: bytes) -> None:
    with suppress(ReportError):
        assert read_report(text).id


bodies = st.binary(max_size=80) | st.sampled_from([b"", b"--x", b"a\r\n--b\r\n", b"\r\n\r\n"])
kinds = st.sampled_from(["application/gzip", "application/zip", "text/xml", "image/png"])


@given(st.lists(st.tuples(bodies, kinds), min_size=1, max_size=5), st.booleans(), st.booleans())
def test_parts_are_those_that_others_find(files: list[tuple[bytes, str]], crlf: bool, inner: bool) -> None:
    mail = EmailMessage(policy=default)
    mail.set_content("a report\n")
    for body, kind in files:
        maintype, subtype = kind.split("/")
        mail.add_attachment(body, maintype=maintype, subtype=subtype, filename="a b.xml")
    if inner:
        outer = EmailMessage(policy=default)
        outer.set_content("forwarded\n")
        outer.add_attachment(mail)
        mail = outer
    content = mail.as_bytes(policy=SMTP if crlf else default)
    told = [(one.get_content_type(), one.get_filename(), one.get_payload(decode=True)) for one in parts_of(content)]
    expected = [
        (one.get_content_type(), one.get_filename(), one.get_payload(decode=True))
        for one in message_from_bytes(content).walk()
        if one.get_content_maintype() not in ("multipart", "message")
    ]
    assert told == expected
    assert [body for _, name, body in told if name] == [body for body, _ in files]


def test_parts_are_bounded_in_number() -> None:
    content = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 1000
    assert len(list(parts_of(content))) == PARTS
