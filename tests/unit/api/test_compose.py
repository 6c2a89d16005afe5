"""Messages of parts: what is written is read back by the standard library as meant, and no field comes by itself."""

import email
import email.policy
from email.message import EmailMessage

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.api.compose import OURS, Texts, compose, people_of
from postroad.api.decode import decode_message
from postroad.api.problem import ApiError
from postroad.api.schema import Attachment, Message, Person
from postroad.message.headers import header_section
from tests.support.apiclient import sound_problem

DATE = "Thu, 26 Nov 2026 12:00:00 +0000"


def made(message: Message, *, utf8: bool = False) -> bytes:
    texts = Texts(message.subject or "", message.text, message.html)
    return compose(message, texts, date=DATE, message_id="<1@relay.example.com>", utf8=utf8)


def read(octets: bytes) -> EmailMessage:
    found = email.message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    return found


def of(**parts: object) -> Message:
    return decode_message(msgspec.json.encode({"from": "a@example.com", "to": ["b@example.net"], **parts}))


def test_plain_text_is_as_it_was_written() -> None:
    octets = made(of(subject="Hi", text="one\ntwo\r\n.three"))
    assert octets.endswith(b"\r\n\r\none\r\ntwo\r\n.three\r\n")
    assert octets.isascii()
    mail = read(octets)
    assert (mail["From"], mail["To"], mail["Subject"], mail["Date"]) == ("a@example.com", "b@example.net", "Hi", DATE)
    assert mail["Bcc"] is None


def test_all_parts_are_where_readers_look_for_them() -> None:
    message = of(
        subject="Grüße aus Köln",
        text="Grüße",
        html='<p>Grüße <img src="cid:logo@x">',
        cc=[{"email": "c@bücher.example", "name": "Müller, Jürgen"}],
        bcc=["secret@example.org"],
        reply_to=["r@example.com"],
        headers={"X-Campaign": "ä", "List-Unsubscribe": "<https://example.com/u>"},
        attachments=[
            {"content": "iVBORw==", "content_type": "image/png", "content_id": "logo@x"},
            {"content": "AAECAw==", "filename": "Rechnung für Sie.pdf", "content_type": "application/pdf"},
        ],
    )
    octets = made(message)
    assert octets.isascii()
    assert b"secret" not in octets
    mail = read(octets)
    assert mail["Subject"] == "Grüße aus Köln"
    assert mail["X-Campaign"] == "ä"
    assert mail["Cc"].addresses[0].display_name == "Müller, Jürgen"
    assert mail["Cc"].addresses[0].addr_spec == "c@xn--bcher-kva.example"
    assert mail.get_content_type() == "multipart/mixed"
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert plain.get_content().split() == ["Grüße"]
    assert html.get_content().startswith("<p>Grüße")
    (attachment,) = [part for part in mail.walk() if part.get_filename()]
    assert attachment.get_filename() == "Rechnung für Sie.pdf"
    assert attachment.get_payload(decode=True) == b"\0\1\2\3"
    (image,) = [part for part in mail.walk() if part.get_content_type() == "image/png"]
    assert image["Content-ID"] == "<logo@x>"
    assert image.get_content_disposition() == "inline"


def test_html_alone_with_a_picture() -> None:
    message = of(html="<img>", attachments=[{"content": "AA==", "content_type": "image/gif", "content_id": "i"}])
    assert [part.get_content_type() for part in read(made(message)).walk()] == [
        "multipart/related",
        "text/html",
        "image/gif",
    ]


def test_a_local_part_in_unicode_needs_smtputf8_and_a_domain_does_not() -> None:
    assert people_of(of(to=["ü@example.com"])).utf8
    assert not people_of(of(to=["u@bücher.example"])).utf8
    octets = made(of(to=["ü@bücher.example"], subject="ü"), utf8=True)
    assert "To: ü@bücher.example\r\n".encode() in octets
    assert b"Subject: \xc3\xbc\r\n" in octets


@pytest.mark.parametrize(
    ("parts", "pointer"),
    [
        ({"subject": "a\r\nBcc: x@y.example"}, "/subject"),
        ({"subject": "a\nb"}, "/subject"),
        ({"headers": {"X": "a\r\nBcc: x@y.example"}}, "/headers"),
        ({"headers": {"X: y": "a"}}, "/headers"),
        ({"headers": {"": "a"}}, "/headers"),
        ({"headers": {"bcc": "x@y.example"}}, "/headers"),
        ({"headers": {"X-A": "1", "x-a": "2"}}, "/headers"),
        ({"headers": {"Received": "by me"}}, "/headers"),
        ({"from": {"email": "a@example.com", "name": "a\r\nBcc: x"}}, "/from"),
        ({"text": "a\0b"}, ""),
        ({"attachments": [{"content": "AA==", "content_type": "text"}]}, "/attachments/0/content_type"),
        ({"attachments": [{"content": "AA==", "content_type": "a/b\r\nX: y"}]}, "/attachments/0/content_type"),
        ({"attachments": [{"content": "AA==", "content_type": "message/rfc822"}]}, "/attachments/0/content_type"),
        ({"attachments": [{"content": "AA==", "filename": "a\nb"}]}, "/attachments/0/filename"),
        ({"html": "x", "attachments": [{"content": "AA==", "content_id": "a>\r\nX"}]}, "/attachments/0/content_id"),
        ({"attachments": [{"content": "AA==", "content_id": "a"}]}, "/attachments/0/content_id"),
    ],
)
def test_what_would_become_another_message_is_refused(parts: dict[str, object], pointer: str) -> None:
    with pytest.raises(ApiError) as caught:
        made(of(**parts))
    assert caught.value.problem.status == 422
    assert [fault.pointer for fault in caught.value.problem.errors] == [pointer]


def test_an_encoded_line_end_makes_no_field() -> None:
    try:
        octets = made(of(subject="=?utf-8?q?a=0D=0ABcc:_x@y.example?="))
    except ApiError:
        return
    assert read(octets)["Bcc"] is None


WORDS = st.text(st.characters(codec="utf-8"), max_size=40)
BODY = st.one_of(st.none(), st.text(st.characters(codec="utf-8"), max_size=300))
FILES = st.builds(Attachment, content=st.binary(max_size=50), filename=WORDS)


@given(
    name=WORDS,
    subject=WORDS,
    value=WORDS,
    text=BODY,
    html=BODY,
    attachments=st.lists(FILES, max_size=2),
    utf8=st.booleans(),
)
def test_anything_is_a_problem_or_one_sound_message(
    name: str, subject: str, value: str, text: str | None, html: str | None, attachments: list[Attachment], utf8: bool
) -> None:
    message = Message(
        sender=Person("a@example.com", name),
        to=["b@example.net"],
        subject=subject,
        text=text,
        html=html,
        headers={"X-Value": value},
        attachments=attachments,
    )
    try:
        octets = made(message, utf8=utf8)
    except ApiError as error:
        sound_problem(error)
        return
    assert b"\0" not in octets
    assert octets.count(b"\n") == octets.count(b"\r\n") == octets.count(b"\r")
    assert max(map(len, octets.split(b"\r\n"))) <= 998
    names = [
        line.partition(b":")[0].decode().lower() for line in header_section(octets).split(b"\r\n") if line[:1].strip()
    ]
    assert len(names) == len(set(names))
    assert set(names) <= OURS | {"x-value"}
    if text is not None:
        body = read(octets).get_body(("plain",))
        assert body is not None
        wanted = text.replace("\r\n", "\n").replace("\r", "\n")
        assert body.get_content().replace("\r\n", "\n").rstrip("\n") == wanted.rstrip("\n")
