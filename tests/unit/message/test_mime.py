"""Conversion to seven bits: every leaf decodes to what it was, and nothing is touched that must not be."""

from email import message_from_bytes, policy
from quopri import decodestring

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.message.mime import encode_base64, encode_quoted_printable, is_line_text, to_quoted_printable

MIME = b"From: <a@example.org>\r\nMIME-Version: 1.0\r\n"
TEXT = MIME + b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\nSubject: x\r\n\r\n"
BODY = "Grüße  \r\n.\r\n=3D\t\r\n".encode()


def converted(content: bytes) -> bytes:
    out = to_quoted_printable(content)
    assert out is not None
    assert out.isascii()
    assert max(map(len, out.split(b"\r\n"))) <= 998
    assert out.count(b"\n") == out.count(b"\r\n") == out.count(b"\r")
    return out


def test_text_becomes_quoted_printable_in_place() -> None:
    out = converted(TEXT + BODY)
    head, _, body = out.partition(b"\r\n\r\n")
    assert head == TEXT[:-4].replace(b"8bit", b"quoted-printable")
    assert decodestring(body) == BODY


def test_seven_bit_content_stays() -> None:
    assert to_quoted_printable(TEXT + b"plain\r\n") == TEXT + b"plain\r\n"


def test_message_without_mime_becomes_mime() -> None:
    out = converted(b"From: <a@example.org>\r\n\r\n" + BODY)
    assert out.startswith(
        b"From: <a@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    )


def test_no_header_at_all() -> None:
    out = converted(b"\r\n" + BODY)
    assert message_from_bytes(out).get_payload(decode=True) == BODY


NESTED = (
    MIME + b'Content-Type: multipart/mixed;\r\n\tboundary="outer b"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n'
    b"preamble\r\n--outer b\r\n\r\n"
    + BODY
    + b"\r\n--outer b  \r\nContent-Type: multipart/alternative; x=1; boundary=inner\r\n\r\n"
    b"--inner\r\nContent-Type: text/html\r\n\r\nplain\r\n--inner\r\nContent-Type: image/png\r\n"
    b"Content-Transfer-Encoding:\r\n binary\r\n\r\n\x89PNG\r\n\x1a\n\0\xff\r\n--inner--\r\n"
    b"\r\n--outer b\r\nContent-Type: message/rfc822\r\n\r\n" + TEXT + BODY + b"\r\n--outer b--\r\nepilogue\r\n"
)


def test_nested_parts() -> None:
    out = converted(NESTED)
    message = message_from_bytes(out, policy=policy.compat32)
    leaves = [part for part in message.walk() if not part.is_multipart()]
    assert [leaf.get_payload(decode=True) for leaf in leaves] == [BODY, b"plain", b"\x89PNG\r\n\x1a\n\0\xff", BODY]
    assert out.startswith(
        MIME + b'Content-Type: multipart/mixed;\r\n\tboundary="outer b"\r\n'
        b"Content-Transfer-Encoding: 7bit\r\n\r\npreamble\r\n"
    )
    assert out.endswith(b"\r\n--outer b--\r\nepilogue\r\n")
    assert b"--inner\r\nContent-Type: text/html\r\n\r\nplain\r\n--inner" in out


@pytest.mark.parametrize(
    "content",
    [
        b"DKIM-Signature: v=1\r\n" + TEXT + BODY,
        MIME + b"ARC-Seal: i=1\r\n\r\n" + BODY,
        MIME + b"arc-message-SIGNATURE: i=1\r\n\r\n" + BODY,
        MIME + b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n" + BODY + b"\r\n--b--\r\n",
        MIME + b"Content-Type: multipart/encrypted; boundary=b\r\n\r\n--b\r\n\r\n" + BODY + b"\r\n--b--\r\n",
        MIME + b"Content-Type: application/pkcs7-mime\r\n\r\n" + BODY,
        MIME + b"Content-Type: message/partial\r\n\r\n" + BODY,
        MIME + b"Content-Type: message/global\r\n\r\n" + BODY,
        MIME + b"Content-Transfer-Encoding: base64\r\n\r\n" + BODY,
        MIME + b"Content-Transfer-Encoding: x-odd\r\n\r\n" + BODY,
        MIME + b"Subject: \xfc\r\n\r\n" + BODY,
        MIME + b"Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\n" + BODY,
        MIME + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + BODY,
        MIME + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n\xff\r\n--b\r\n\r\nx\r\n--b--\r\n",
        MIME + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n\xff\r\n",
        MIME + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX: \xff\r\n\r\nx\r\n--b--\r\n",
        MIME + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--bc\r\n\r\n" + BODY + b"\r\n--b--\r\n",
        MIME + b'Content-Type: multipart/mixed; boundary="b\\""\r\n\r\n--b\r\n\r\n' + BODY,
    ],
)
def test_what_must_not_or_cannot_be_converted(content: bytes) -> None:
    assert to_quoted_printable(content) is None


def test_depth_is_bounded() -> None:
    content = BODY
    for _ in range(80):
        content = b"Content-Type: message/rfc822\r\nMIME-Version: 1.0\r\n\r\n" + content
    assert to_quoted_printable(content) is None


def test_binary_with_long_lines_is_folded() -> None:
    content = MIME + b"Content-Transfer-Encoding: binary\r\n\r\n" + b"x" * 5000 + b"\r\n"
    assert message_from_bytes(converted(content)).get_payload(decode=True) == b"x" * 5000 + b"\r\n"


def test_line_text() -> None:
    assert is_line_text(b"a\r\n\xff" + b"b" * 2000 + b"\r\n")
    for bad in (b"a\nb", b"a\rb", b"\0", b"\r\r\n"):
        assert not is_line_text(bad)


@given(
    st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b" ", b"\t", b".", b"=", b"a" * 75, b"\xff", b"\0", b"x"])).map(
        b"".join
    )
)
def test_quoted_printable_and_base64_decode_to_what_they_were(body: bytes) -> None:
    out = encode_quoted_printable(body)
    assert out.isascii()
    assert all(len(line) <= 76 and not line.endswith((b" ", b"\t")) for line in out.split(b"\r\n"))
    assert decodestring(out.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n") == body.replace(b"\r\n", b"\n").replace(
        b"\n", b"\r\n"
    )
    encoded = encode_base64(body)
    assert all(len(line) <= 76 for line in encoded.split(b"\r\n"))


@given(st.binary(max_size=300), st.sampled_from([TEXT, MIME + b"Content-Type: application/x-any\r\n\r\n"]))
def test_any_body_survives(body: bytes, head: bytes) -> None:
    out = to_quoted_printable(head + body)
    assert out is not None
    assert out.isascii()
    if out != head + body:
        decoded = message_from_bytes(out).get_payload(decode=True)
        if head != TEXT:
            assert decoded == body


@given(st.binary(max_size=400))
def test_anything_at_all(content: bytes) -> None:
    out = to_quoted_printable(content)
    assert out is None or out.isascii()


@given(
    st.lists(
        st.sampled_from(
            [
                b"--b",
                b"--b--",
                b"\r\n",
                b"Content-Type: multipart/mixed; boundary=b\r\n",
                b"\r\n\r\n",
                b"\xff",
                b"a: b\r\n",
            ]
        )
    )
)
def test_any_structure(pieces: list[bytes]) -> None:
    out = to_quoted_printable(MIME + b"".join(pieces))
    assert out is None or out.isascii()
