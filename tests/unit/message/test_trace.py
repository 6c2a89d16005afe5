"""Received fields out, facts of the head in."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from postroad.message.trace import Hop, format_date, read_head, received_field

DATE = "Mon, 21 Sep 2026 13:46:40 +0000"


def test_received_with_one_recipient() -> None:
    field = received_field(Hop("c.example", "192.0.2.1", "relay.example.com", "ESMTP", "ID", "b@example.net"), DATE)
    assert field == (
        "Received: from c.example ([192.0.2.1])\r\n"
        "\tby relay.example.com (Postroad) with ESMTP id ID\r\n"
        f"\tfor <b@example.net>; {DATE}\r\n"
    )


def test_received_with_more_recipients_over_v6() -> None:
    field = received_field(Hop("c", "2001:db8::1", "relay.example.com", "SMTP", "ID", ""), DATE)
    assert "([IPv6:2001:db8::1])" in field
    assert "for <" not in field
    assert field.endswith(f" id ID;\r\n\t{DATE}\r\n")


def test_tls_and_a_verified_certificate_are_named() -> None:
    hop = Hop("c.example", "192.0.2.1", "relay.example.com", "ESMTPS", "ID", "", "TLSv1.3 with cipher X (256/256 bits)")
    assert received_field(hop, DATE).startswith(
        "Received: from c.example ([192.0.2.1])\r\n\t(using TLSv1.3 with cipher X (256/256 bits))\r\n\tby relay."
    )
    proved = received_field(replace(hop, certificate="ab" * 32), DATE)
    assert proved.split("\r\n\t")[1:4] == [
        "(using TLSv1.3 with cipher X (256/256 bits),",
        "client certificate verified, SHA-256",
        f"{'ab' * 32})",
    ]


@given(st.text(min_size=1, max_size=60))
def test_any_hello_name_is_harmless(helo: str) -> None:
    field = received_field(Hop(helo, "192.0.2.1", "h.example", "SMTP", "ID", ""), DATE)
    assert field.count("\r\n") == 3
    assert field.isascii()
    assert field.splitlines()[0].endswith("([192.0.2.1])")


def test_date() -> None:
    assert format_date(1_790_000_000_000_000) == "Mon, 21 Sep 2026 14:13:20 +0000"


def test_head() -> None:
    content = b"received: a\r\nX: y\r\nRECEIVED: b\r\nMessage-Id:\t<id@x>\r\n\r\nReceived: no\r\n"
    head = read_head(content)
    assert (head.hops, head.message_id) == (2, "<id@x>")
    assert head.size == content.index(b"\r\n\r\n") + 2


def test_head_without_body_or_id() -> None:
    assert read_head(b"").message_id == ""
    assert read_head(b"A: b\r\n").size == 6
    assert read_head(b"Message-ID: <" + b"x" * 999 + b">\r\n\r\n").message_id.startswith("<xxx")
    assert read_head(b"Message-ID: \x1b[31m\r\n\r\n").message_id == ""


def test_text_without_a_header_section_has_none() -> None:
    for content in (b"\r\n" + b"Received: x\r\n" * 60, b"text\r\n" * 200_000, b"text\r\n" * 200_000 + b"\r\nmore"):
        head = read_head(content)
        assert (head.size, head.hops) == (0, 0)
