"""What senders ask about TLS on the way on: REQUIRETLS in MAIL, and TLS-Required: No in the header section."""

import pytest
from msgspec.structs import replace

from postroad.listener.session import Conversation
from postroad.smtp.extensions import under_tls
from tests.support.conversation import Desk, MemoryTransport

PLAIN = b"Subject: x\r\n\r\nHello\r\n"


def said(desk: Desk, *lines: str, content: bytes = PLAIN, under: bool = True) -> list[str]:
    """The server's lines to a client under TLS that says `lines` and sends `content`."""
    terms = desk.terms()
    if under:
        terms = replace(terms, offer=under_tls(terms.offer))
    conversation, transport = Conversation(terms, "test-1"), MemoryTransport("127.0.0.1")
    conversation.connection_made(transport)
    for line in ("EHLO client", *lines, "RCPT TO:<b@example.net>", "DATA"):
        conversation.data_received(f"{line}\r\n".encode())
    conversation.data_received(content + b".\r\nQUIT\r\n")
    return transport.written.decode().split("\r\n")


def asked(desk: Desk) -> str:
    ((envelope, _),) = desk.spool.messages
    return envelope.tls


def test_it_is_offered_under_tls_and_kept() -> None:
    desk = Desk()
    lines = said(desk, "MAIL FROM:<a@example.org> BODY=8BITMIME REQUIRETLS")
    assert "250-REQUIRETLS" in lines
    assert not any("STARTTLS" in line for line in lines)
    assert asked(desk) == "requiretls"


def test_it_takes_no_value() -> None:
    desk = Desk()
    lines = said(desk, "MAIL FROM:<a@example.org> REQUIRETLS=yes", "MAIL FROM:<a@example.org> REQUIRETLS REQUIRETLS")
    assert len([line for line in lines if line.startswith("501 5.5.4")]) == 2
    assert desk.spool.messages == []


def test_without_tls_there_is_none() -> None:
    desk = Desk()
    lines = said(desk, "MAIL FROM:<a@example.org> REQUIRETLS", under=False)
    assert "250-REQUIRETLS" not in lines
    assert any(line.startswith("555 5.5.4") for line in lines)


@pytest.mark.parametrize(
    ("header", "tls"),
    [
        (b"TLS-Required: No\r\nSubject: x\r\n", "optional"),
        (b"Subject: x\r\ntls-required :\r\n no\r\n", "optional"),
        (b"TLS-Required: Yes\r\n", ""),
        (b"X-TLS-Required: No\r\n", ""),
        (b"Subject: TLS-Required: No\r\n", ""),
        (b"Subject: x\r\n\r\nTLS-Required: No\r\n", ""),
    ],
)
def test_the_header_field_waives(header: bytes, tls: str) -> None:
    desk = Desk()
    said(desk, "MAIL FROM:<a@example.org>", content=header + b"\r\nHello\r\n", under=False)
    assert asked(desk) == tls


def test_requiretls_goes_before_the_header_field() -> None:
    desk = Desk()
    said(desk, "MAIL FROM:<a@example.org> REQUIRETLS", content=b"TLS-Required: No\r\n\r\nHello\r\n")
    assert asked(desk) == "requiretls"
