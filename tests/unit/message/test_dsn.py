"""Delivery status notifications, read back by the standard library's parser."""

from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.message.dsn import (
    DELAYED,
    DELIVERED,
    FAILED,
    RELAYED,
    Notice,
    Report,
    compose,
    decode_xtext,
    local_trace,
    needs_utf8,
)
from postroad.model.address import parse_mailbox, parse_path
from postroad.model.envelope import Envelope, Recipient

NOW = 1_700_000_000_000_000
ORIGINAL = b"Received: from a by b; now\r\nSubject: hello\r\n\r\nHello,\r\nworld.\r\n"


def notice(address: str = "bob@example.org", action: str = FAILED, **more: Any) -> Notice:
    facts: dict[str, Any] = {
        "status": "5.1.1",
        "diagnostic": "550 5.1.1 No such user here",
        "remote": "mx.example.org",
        "command": "RCPT TO",
        "at": NOW,
        **more,
    }
    orcpt = facts.pop("orcpt", "")
    return Notice(Recipient(parse_mailbox(address), 0, orcpt), action, **facts)


def report(*notices: Notice, original: bytes = ORIGINAL, full: bool = True, **more: Any) -> Report:
    facts: dict[str, Any] = {"sender": parse_path(b"alice@example.com"), "message_id": "<m1@example.com>", **more}
    envelope = Envelope(id="orig1", recipients=(), arrived=NOW - 60_000_000, size=len(original), **facts)
    return Report("dsn1", "relay.example.net", NOW, envelope, notices or (notice(),), original, full)


def test_an_alias_is_named_beside_the_address_that_failed() -> None:
    content = compose(report(notice("bob@example.org", orcpt="rfc822;info+2Bx@example.com"), notice("c@example.org")))
    assert b"\r\n<bob@example.org> (sent to <info+x@example.com>): mx.example.org said:" in content
    assert b"\r\n<c@example.org>: mx.example.org said:" in content
    same = compose(report(notice("bob@example.org", orcpt="rfc822;bob@example.org")))
    assert b"\r\n<bob@example.org>: mx.example.org said:" in same


def parse(content: bytes) -> EmailMessage:
    """The report as a message, its lines checked on the way."""
    assert content.endswith(b"\r\n")
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert all(len(line) <= 998 for line in content.split(b"\r\n"))
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    for part in message.walk():
        assert not part.defects
    return message


def parts(message: EmailMessage) -> tuple[EmailMessage, list[EmailMessage], EmailMessage]:
    """The text, the blocks of the status, the original."""
    assert message.get_content_type() == "multipart/report"
    text, status, original = message.iter_parts()
    blocks: Any = status.get_payload()
    assert isinstance(text, EmailMessage)
    assert isinstance(original, EmailMessage)
    return text, list(blocks), original


def test_a_failure_is_a_report_of_three_parts() -> None:
    message = parse(compose(report()))
    assert message["From"] == "Mail Delivery System <MAILER-DAEMON@relay.example.net>"
    assert message["To"] == "alice@example.com"
    assert message["Subject"] == "Undelivered Mail Returned to Sender"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["Message-ID"] == "<dsn1@relay.example.net>"
    assert message["In-Reply-To"] == "<m1@example.com>"
    assert message["Date"] == "Tue, 14 Nov 2023 22:13:20 +0000"
    assert message.get_param("report-type") == "delivery-status"
    text, blocks, original = parts(message)
    words = " ".join(text.get_content().split())
    assert "<bob@example.org>: mx.example.org said: 550 5.1.1 No such user here (in reply to RCPT TO)" in words
    about, failed = blocks
    assert about["Reporting-MTA"] == "dns; relay.example.net"
    assert about["Arrival-Date"] == "Tue, 14 Nov 2023 22:12:20 +0000"
    assert about["X-Postroad-Queue-ID"] == "orig1"
    assert failed["Final-Recipient"] == "rfc822; bob@example.org"
    assert failed["Original-Recipient"] is None
    assert (failed["Action"], failed["Status"]) == ("failed", "5.1.1")
    assert failed["Remote-MTA"] == "dns; mx.example.org"
    assert failed["Diagnostic-Code"] == "smtp; 550 5.1.1 No such user here"
    assert original.get_content_type() == "message/rfc822"


def test_the_original_comes_back_octet_for_octet() -> None:
    assert b"\r\n\r\n" + ORIGINAL + b"\r\n--" in compose(report())


def test_headers_alone_when_not_full() -> None:
    message = parse(compose(report(full=False)))
    text, _, original = parts(message)
    assert original.get_content_type() == "text/rfc822-headers"
    assert original.get_content().splitlines() == ["Received: from a by b; now", "Subject: hello"]
    assert "header section is attached" in text.get_content()


def test_without_an_original_the_report_has_no_part_for_it() -> None:
    text, status = parse(compose(report(original=b"", full=False))).iter_parts()
    assert isinstance(text, EmailMessage)
    assert "attached" not in text.get_content()
    blocks: Any = status.get_payload()
    assert blocks[1]["Action"] == "failed"


def test_a_delay_says_until_when() -> None:
    late = notice(action=DELAYED, status="4.4.1", retry_until=NOW + 86400_000_000)
    message = parse(compose(report(late, full=False)))
    assert message["Subject"] == "Delayed Mail (still being retried)"
    text, blocks, _ = parts(message)
    assert blocks[1]["Will-Retry-Until"] == "Wed, 15 Nov 2023 22:13:20 +0000"
    assert "need not send it again" in " ".join(text.get_content().split())


@pytest.mark.parametrize("action", [RELAYED, DELIVERED])
def test_success_is_told_plainly(action: str) -> None:
    told = notice(action=action, status="2.0.0", diagnostic="250 2.0.0 Ok", command="")
    message = parse(compose(report(told, full=False)))
    assert message["Subject"] == "Successful Mail Delivery Report"
    assert parts(message)[1][1]["Action"] == action


def test_several_recipients_share_one_report_and_the_worst_names_it() -> None:
    mixed = (
        notice("a@example.org", RELAYED, status="2.0.0"),
        notice("b@example.org"),
        notice("c@example.org", DELAYED),
    )
    message = parse(compose(report(*mixed)))
    assert message["Subject"] == "Undelivered Mail Returned to Sender"
    _, blocks, _ = parts(message)
    assert [block["Action"] for block in blocks[1:]] == ["relayed", "failed", "delayed"]


def test_envelope_id_and_original_recipient_are_decoded() -> None:
    told = notice(orcpt="rfc822;Bob+2Bbox@example.org")
    _, blocks, _ = parts(parse(compose(report(told, envid="id+2B+3D7"))))
    assert blocks[0]["Original-Envelope-Id"] == "id+=7"
    assert blocks[1]["Original-Recipient"] == "rfc822; Bob+box@example.org"


def test_xtext_that_would_break_a_line_stays_encoded() -> None:
    told = notice(orcpt="rfc822;x+0D+0AAction:+20delivered")
    _, blocks, _ = parts(parse(compose(report(told, envid="a+0D+0AReporting-MTA:+20dns;+20evil"))))
    assert blocks[0]["Original-Envelope-Id"] == "a+0D+0AReporting-MTA:+20dns;+20evil"
    assert blocks[1]["Action"] == "failed"
    assert len(blocks) == 2


def test_our_own_words_are_no_smtp_reply() -> None:
    told = notice(remote="", diagnostic="451 4.4.1 connection refused", status="4.4.7", expired=True)
    text, blocks, _ = parts(parse(compose(report(told))))
    assert blocks[1]["Diagnostic-Code"] == "x-postroad; 451 4.4.1 connection refused"
    assert blocks[1]["Remote-MTA"] is None
    assert "delivery time expired; last reason: 451 4.4.1 connection" in " ".join(text.get_content().split())


def test_long_words_of_a_remote_host_are_folded_and_bounded() -> None:
    told = notice(diagnostic="550 " + "word " * 100 + "x" * 5000)
    _, blocks, _ = parts(parse(compose(report(told))))
    assert blocks[1]["Diagnostic-Code"].startswith("smtp; 550 word word word")


def test_the_boundary_never_occurs_in_the_original() -> None:
    nasty = ORIGINAL + b"--=_dsn1_postroad--\r\n--=_dsn1_postroad\r\n"
    _, blocks, original = parts(parse(compose(report(original=nasty))))
    assert len(blocks) == 2
    assert "--=_dsn1_postroad--" in original.as_string()


def test_eight_bit_originals_make_the_report_eight_bit() -> None:
    content = compose(report(original=b"Subject: x\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n"))
    message = parse(content)
    assert message["Content-Transfer-Encoding"] == "8bit"
    assert b"Gr\xc3\xbc\xc3\x9fe\r\n" in content
    assert not needs_utf8(report(original=b"Subject: x\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n"))


def test_internationalised_addresses_make_it_global() -> None:
    told = notice("jösé@example.org", orcpt="utf-8;j\\x{F6}s\\x{E9}@example.org")
    whole = report(told, smtputf8=True)
    assert needs_utf8(whole)
    content = compose(whole)
    message = message_from_bytes(content, policy=policy.default.clone(utf8=True))
    assert message.get_param("report-type") == "global-delivery-status"
    assert b"Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n" in content
    assert b"Content-Type: message/global\r\n" in content
    assert "Final-Recipient: utf-8; jösé@example.org\r\n".encode() in content
    assert b"Original-Recipient: utf-8; j\\x{F6}s\\x{E9}@example.org\r\n" in content


def test_headers_in_utf8_come_back_as_global_headers() -> None:
    whole = report(original="Subject: Grüße\r\n\r\nx\r\n".encode(), full=False, smtputf8=True)
    assert b"Content-Type: message/global-headers\r\n" in compose(whole)


def test_what_a_remote_host_said_in_other_letters_is_kept_out_of_ascii_reports() -> None:
    content = compose(report(notice(diagnostic="550 Grüße\x00\x1b[31m\r\nAction: delivered")))
    assert content.isascii()
    _, blocks, _ = parts(parse(content))
    assert blocks[1]["Diagnostic-Code"] == "smtp; 550 Gr??e??[31m Action: delivered"


@pytest.mark.parametrize(
    ("text", "value"),
    [("plain", "plain"), ("a+2Bb", "a+b"), ("+41", "A"), ("a+", None), ("a+4", None), ("a+ZZ", None), ("+0A", None)],
)
def test_xtext(text: str, value: str | None) -> None:
    assert decode_xtext(text) == value


def test_the_trace_field_is_folded() -> None:
    expected = "Received: by mx.example.net (Postroad) id q1;\r\n\tTue, 14 Nov 2023 22:13:20 +0000\r\n"
    assert local_trace("mx.example.net", "q1", NOW) == expected


ascii_text = st.text(st.characters(max_codepoint=127), max_size=60)


@given(st.text(max_size=300), st.text(max_size=60), ascii_text, st.binary(max_size=300))
def test_nothing_from_outside_can_break_the_structure(said: str, envid: str, orcpt: str, body: bytes) -> None:
    original = b"Subject: x\r\n\r\n" + body.replace(b"\r", b"").replace(b"\n", b"") + b"\r\n"
    told = notice(diagnostic=said, remote=said[:30], orcpt=orcpt)
    content = compose(report(told, original=original, envid=envid))
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    _, blocks, _ = parts(message)
    assert len(blocks) == 2
    assert blocks[0]["Reporting-MTA"] == "dns; relay.example.net"
    assert blocks[1]["Action"] == "failed"
    assert content.count(b"\nAction: ") == 1 + original.count(b"\nAction: ")
