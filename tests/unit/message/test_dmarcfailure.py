"""Failure reports as mail: the form of RFC 6591, and nothing of a stranger's that gets out of its line."""

import random
from email import message_from_bytes, policy
from email.message import Message

import msgspec

from postroad.message.dmarcfailure import HEADER_LIMIT, Failure, compose
from postroad.model.address import parse_mailbox

AT = 1_772_420_645_000_000
FAILURE = Failure(
    "example.com",
    "mail.example.com",
    AT,
    "dmarc",
    "reject",
    "203.0.113.9",
    "joe@mail.example.com",
    " relay.example.net;\r\n\tdmarc=fail header.from=mail.example.com",
    (),
    ("other.example", "@other.example", "s1"),
    (b"From: joe@mail.example.com", b"Subject: Hello\r\n\tthere"),
)
TO = parse_mailbox("ruf@example.com")


def read(failure: Failure) -> tuple[Message, list[Message]]:
    """The mail and its three parts."""
    content = compose(failure, "dmarc@example.net", TO, "<1@example.net>", AT)
    assert all(len(line) <= 998 for line in content.split(b"\r\n"))
    assert content.count(b"\n") == content.count(b"\r\n") == content.count(b"\r")
    mail = message_from_bytes(content, policy=policy.compat32)
    parts = mail.get_payload()
    assert isinstance(parts, list)
    text, feedback, header = parts
    assert isinstance(text, Message)
    assert isinstance(feedback, Message)
    assert isinstance(header, Message)
    return mail, [text, feedback, header]


def feedback_of(part: Message) -> Message:
    payload = part.get_payload()
    inner = payload[0] if isinstance(payload, list) else message_from_bytes(str(payload).encode())
    assert isinstance(inner, Message)
    return inner


def test_the_form() -> None:
    mail, (text, feedback, header) = read(FAILURE)
    assert (mail["From"], mail["To"]) == ("<dmarc@example.net>", "<ruf@example.com>")
    assert (mail["Auto-Submitted"], mail.get_content_type()) == ("auto-generated", "multipart/report")
    assert mail.get_param("report-type") == "feedback-report"
    assert [part.get_content_type() for part in (text, feedback, header)] == [
        "text/plain",
        "message/feedback-report",
        "text/rfc822-headers",
    ]
    fields = feedback_of(feedback)
    assert {
        "Feedback-Type": "auth-failure",
        "Version": "1",
        "Auth-Failure": "dmarc",
        "Identity-Alignment": "none",
        "Source-IP": "203.0.113.9",
        "Original-Mail-From": "<joe@mail.example.com>",
        "Reported-Domain": "mail.example.com",
        "Delivery-Result": "reject",
        "DKIM-Domain": "other.example",
        "DKIM-Identity": "@other.example",
        "DKIM-Selector": "s1",
    }.items() <= dict(fields.items()).items()
    assert fields["User-Agent"].startswith("Postroad/")
    assert "dmarc=fail" in fields["Authentication-Results"]
    assert fields["Arrival-Date"] == "Mon, 2 Mar 2026 03:04:05 +0000"
    assert str(header.get_payload()).strip().splitlines() == ["From: joe@mail.example.com", "Subject: Hello", "\tthere"]


def test_what_is_not_there_is_not_told() -> None:
    _, (_, feedback, _) = read(msgspec.structs.replace(FAILURE, done="none", signed=None, aligned=("spf", "dkim")))
    fields = feedback_of(feedback)
    assert fields["Identity-Alignment"] == "spf, dkim"
    assert not {"Delivery-Result", "DKIM-Domain", "DKIM-Selector"} & set(fields.keys())


def test_a_long_header_is_cut_between_fields() -> None:
    field = b"Subject: " + b"x" * 5000
    _, (_, _, header) = read(msgspec.structs.replace(FAILURE, header=(field,) * 9))
    told = str(header.get_payload())
    assert told.count("Subject: ") == HEADER_LIMIT // len(field)


def test_hostile_texts_stay_in_their_place() -> None:
    seeded = random.Random(6591)
    pieces = (
        b"\r",
        b"\n",
        b"\r\n ",
        b"--=_failure_%d" % AT,
        b"--=_failure_%d--" % AT,
        b"\0",
        b"\xff",
        b"x" * 400,
        b": ",
    )
    for _ in range(300):
        field = b"Subject:" + b"".join(seeded.choices(pieces, k=seeded.randrange(1, 12)))
        sender = b"".join(seeded.choices(pieces, k=3)).decode("latin-1") + "\r\nReported-Domain: evil.example"
        mail, (_, feedback, header) = read(
            msgspec.structs.replace(
                FAILURE, header=(field,), sender=sender[-300:], signed=(sender[-200:], "", sender[-99:])
            )
        )
        fields = feedback_of(feedback)
        assert fields.get_all("Reported-Domain") == ["mail.example.com"]
        assert mail["Subject"] == "DMARC failure report for mail.example.com"
        assert str(header.get_payload()).startswith("Subject:")
