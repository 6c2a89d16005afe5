"""Words of reports: languages, templates, placeholders."""

from email import message_from_bytes, policy

import pytest

from postroad.message.dsn import DELAYED, DELIVERED, FAILED, Notice, Report, compose
from postroad.message.dsntexts import BUILT_IN, ENGLISH, GERMAN, PLACEHOLDERS, Languages, Texts, read_texts
from postroad.model.address import parse_mailbox
from postroad.model.envelope import Envelope, Recipient

NOW = 1_700_000_000_000_000


def report(texts: Texts, action: str = FAILED, *, recipient: str = "bob@example.org", to: str = "") -> Report:
    bob = Recipient(parse_mailbox(recipient))
    envelope = Envelope(id="q1", sender=parse_mailbox("alice@example.at"), recipients=(bob,), arrived=NOW, size=10)
    notice = Notice(bob, action, "5.1.1", "550 5.1.1 No such user", "mx.example.org", "RCPT TO", NOW, NOW)
    return Report("r1", "relay.example.at", NOW, envelope, (notice,), b"Subject: x\r\n", full=False, texts=texts, to=to)


@pytest.mark.parametrize("texts", BUILT_IN.values(), ids=list(BUILT_IN))
@pytest.mark.parametrize("action", [FAILED, DELAYED, DELIVERED])
def test_built_in_texts_make_reports_of_seven_bits(texts: Texts, action: str) -> None:
    content = compose(report(texts, action))
    assert content.isascii()
    assert max(map(len, content.split(b"\r\n"))) <= 200
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert all(line.strip() or not line for line in content.split(b"\r\n"))


def test_german_is_readable_and_programs_read_the_same_as_ever() -> None:
    parsed = message_from_bytes(compose(report(GERMAN)), policy=policy.default)
    assert parsed["Subject"] == "Unzustellbare Nachricht zurück an den Absender"
    text, status, _ = parsed.iter_parts()
    words = " ".join(text.get_content().split())
    assert text["Content-Transfer-Encoding"] == "quoted-printable"
    assert "konnte den unten genannten Empfängern nicht zugestellt werden" in words
    assert "<bob@example.org>: mx.example.org antwortete: 550 5.1.1 No such user (auf RCPT TO)" in words
    assert "Status: 5.1.1" in status.as_string()
    assert "Diagnostic-Code: smtp; 550 5.1.1 No such user" in status.as_string()


def test_german_with_an_address_in_utf8_is_utf8_throughout() -> None:
    parsed = message_from_bytes(compose(report(GERMAN, recipient="bücher@example.org")), policy=policy.default)
    text = next(parsed.iter_parts())
    assert "<bücher@example.org>" in text.get_content()
    assert text["Content-Transfer-Encoding"] == "8bit"


def test_a_copy_says_so() -> None:
    parsed = message_from_bytes(compose(report(ENGLISH, to="postmaster@example.at")), policy=policy.default)
    assert parsed["To"] == "postmaster@example.at"
    assert parsed["Subject"] == "Postmaster Copy: Undelivered Mail Returned to Sender"


def test_the_first_language_that_matches_the_sender_wins() -> None:
    languages = Languages(ENGLISH, (("*.de", GERMAN), ("example.at", GERMAN)))
    assert languages.texts_for("mail.example.DE") is GERMAN
    assert languages.texts_for("example.at") is GERMAN
    assert languages.texts_for("sub.example.at") is ENGLISH
    assert Languages(GERMAN).texts_for("anything.example") is GERMAN


def test_a_template_changes_what_it_names() -> None:
    texts = read_texts({"greeting": "Hier ist {hostname} ({{24/7}})."}, GERMAN)
    assert texts.subject_failed == GERMAN.subject_failed
    assert b"Hier ist relay.example.at ({24/7})." in compose(report(texts))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"greting": "x"}, "greting: unknown text"),
        ({"greeting": 5}, "greeting: expected text"),
        ({"greeting": "{host}"}, r'"{host}" is no placeholder of this text; there are: {hostname}'),
        ({"greeting": "{hostname.__class__}"}, "is no placeholder"),
        ({"greeting": "{hostname!r:>99999999}"}, "is no placeholder"),
        ({"greeting": "{hostname:>99999999}"}, "is no placeholder"),
        ({"greeting": "{}"}, "is no placeholder"),
        ({"greeting": "{hostname"}, "write"),
        ({"subject_failed": "a\nBcc: x"}, "control characters"),
        ({"subject_failed": "{hostname}"}, "there are: none"),
        ({"copy": " "}, "must have"),
        ({"copy": "x" * 2001}, "must have"),
    ],
)
def test_mistakes_are_found_when_it_is_read(data: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("{", r"\{").replace("}", r"\}")):
        read_texts(data, ENGLISH)


def test_every_placeholder_that_is_allowed_is_filled() -> None:
    for name, known in PLACEHOLDERS.items():
        texts = read_texts({name: " ".join(f"{{{one}}}" for one in known)}, ENGLISH)
        for action in (FAILED, DELAYED, DELIVERED):
            compose(report(texts, action))
