"""Reports that come by mail: kept once and shown, while everything else at their address is delivered."""

import smtplib
from pathlib import Path

from postroad.message.dmarcreport import DkimResult, DmarcReport, Published, Row, Seen, SpfResult
from postroad.message.dmarcreportwrite import compose as compose_dmarc
from postroad.message.dmarcreportwrite import report_xml
from postroad.message.reportmail import Author, packed
from postroad.message.tlsrpt import compose, report_json
from postroad.model.address import parse_mailbox
from postroad.model.security import SUCCESS
from postroad.model.tlscounts import TlsCount, TlsKey
from tests.support.apiclient import api_relay
from tests.support.command import run_command
from tests.support.relay import CAPTURE, Relay

SETTINGS = """
[tls_reports]
from = "tlsrpt@ours.example"
received_at = ["TLSRPT@ours.example"]
"""
TO = "tlsrpt@ours.example"
AUTHOR = Author("Sender Inc.", "postmaster@sender.example", "tlsrpt@sender.example")


def packed_report(good: int, bad: int, day: int = 20_000, domain: str = "ours.example") -> bytes:
    """A report as HTTPS has it."""
    key = TlsKey(day, domain, "sts", "mode: enforce", SUCCESS)
    failed = TlsKey(day, "ours.example", "sts", "mode: enforce", "certificate-expired", mx_host="mx.ours.example")
    counts = [TlsCount(key, good), *([TlsCount(failed, bad)] if bad else [])]
    return packed(report_json(day, domain, AUTHOR, counts))


def report(good: int, bad: int, day: int = 20_000) -> bytes:
    """The mail with a report."""
    return compose(day, "ours.example", AUTHOR, parse_mailbox(TO), packed_report(good, bad, day), 1)


def test_reports_are_kept_and_all_else_is_delivered(tmp_path: Path) -> None:
    with Relay(tmp_path, CAPTURE + SETTINGS) as relay:
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
            for mail in (report(41, 3), report(41, 3), report(7, 0, 20_001), report(1, 0)[:-400]):
                client.sendmail("", [TO], mail)
            client.sendmail("joe@sender.example", [TO], b"Subject: a question\r\n\r\nabout your reports\r\n")
            client.sendmail("joe@sender.example", [TO, "ann@ours.example"], report(1, 1, 20_002))
        discarded = relay.wait_for("MessageDiscarded", 3)
        assert all("TLS report" in one["reason"] for one in discarded)
        relay.wait_captured(b"a question")
        relay.wait_captured(b"TLS-Report-Domain", 2)  # one broken, and one that went to somebody else, too
        done = run_command("tls", "reports", "--received", "-c", relay.config)
        assert done.out.splitlines() == [
            "2024-10-05 ours.example: 7 successful, 0 failed, says Sender Inc. (not signed)",
            "2024-10-04 ours.example: 41 successful, 3 failed, says Sender Inc. (not signed)",
            "  3 sts certificate-expired mx.ours.example",
        ]
        assert run_command("tls", "reports", "other.example", "--received", "-c", relay.config).out == ""


DMARC = """
[tls_reports]
from = "tlsrpt@ours.example"
received_at = ["reports@ours.example", "tlsrpt@ours.example"]
[dmarc_reports]
received_at = ["reports@ours.example"]
"""
BOMB = (
    b"Subject: laughs\r\nContent-Type: text/xml\r\n\r\n"
    b'<!DOCTYPE f [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><feedback>&b;</feedback>\r\n'
)


def dmarc_report(name: str, domain: str, bad: int) -> bytes:
    """The mail with an aggregate report."""
    proven = Seen("192.0.2.1", "none", "pass", "fail", domain, signatures=(DkimResult(domain, "s", "pass"),))
    senders = (SpfResult("other.example", "mfrom", "pass"),)
    forged = Seen("203.0.113.9", "reject", "fail", "fail", domain, senders=senders)
    report = DmarcReport(
        "Sender Inc.",
        "dmarc@sender.example",
        name,
        1_790_000_000,
        1_790_086_399,
        Published(domain, "reject"),
        (Row(proven, 40), Row(forged, bad)),
    )
    by = Author("Sender Inc.", "", "dmarc@sender.example")
    return compose_dmarc(report, by, parse_mailbox("reports@ours.example"), packed(report_xml(report)), 1)


def test_one_address_for_both_kinds_of_report(tmp_path: Path) -> None:
    to = "reports@ours.example"
    with Relay(tmp_path, CAPTURE + DMARC) as relay:
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
            one, other = dmarc_report("1", "ours.example", 3), dmarc_report("1", "also-ours.example", 1)
            for mail in (one, one, other, report(41, 3)):
                client.sendmail("dmarc@sender.example", [to], mail)
            client.sendmail("dmarc@sender.example", [to], b"Subject: Report Domain: ours.example\r\n\r\nnone\r\n")
            client.sendmail("dmarc@sender.example", ["tlsrpt@ours.example"], dmarc_report("2", "ours.example", 1))
            client.sendmail("dmarc@sender.example", [to], BOMB)
        reasons = [one["reason"] for one in relay.wait_for("MessageDiscarded", 4)]
        assert sum("DMARC report 1 of Sender Inc." in reason for reason in reasons) == 3
        assert sum("TLS report" in reason for reason in reasons) == 1
        relay.wait_captured(b"Report Domain: ours.example", 2)  # no report, and one at an address for others
        relay.wait_captured(b"laughs")
        (unread,) = relay.wait_for("MessageAdjusted", 1)
        assert unread["tags"] == ["unread-report"]
        assert unread["reason"] == (
            "a DMARC report that cannot be read: the XML has a document type, which no report needs"
        )
        listed = run_command("dmarc", "reports", "-c", relay.config).out.splitlines()
        assert listed == [
            "2026-09-21 also-ours.example: 40 passed, 1 failed, says Sender Inc. (not signed)",
            "  1 from 203.0.113.9: reject; SPF pass of other.example",
            "2026-09-21 ours.example: 40 passed, 3 failed, says Sender Inc. (not signed)",
            "  3 from 203.0.113.9: reject; SPF pass of other.example",
        ]
        by_source = run_command("dmarc", "reports", "ours.example", "--sources", "-c", relay.config).out.splitlines()
        assert by_source == [
            "ours.example 203.0.113.9: 3 messages, 0 by DKIM, 0 by SPF, 3 not proven, 3 refused (other.example)",
            "ours.example 192.0.2.1: 40 messages, 40 by DKIM, 0 by SPF, 0 not proven, 0 refused (ours.example)",
        ]
        assert '"id":"1"' in run_command("dmarc", "reports", "ours.example", "--json", "-c", relay.config).out
        assert len(run_command("tls", "reports", "--received", "-c", relay.config).out.splitlines()) == 2


def test_reports_come_by_https_from_anybody(tmp_path: Path) -> None:
    relay, client = api_relay(
        tmp_path, CAPTURE + SETTINGS + 'received_by_https = true\nreceived_about = ["ours.example"]\n'
    )
    client.key = ""
    gzip = {"Content-Type": "application/tlsrpt+gzip"}
    with relay:
        assert client.ask("POST", "/v1/tls-reports", packed_report(5, 1), gzip).status == 200
        assert client.ask("POST", "/v1/tls-reports", packed_report(5, 1), gzip).status == 200
        for body, headers, status in (
            (packed_report(5, 1)[:-20], gzip, 400),
            (packed_report(5, 1), {"Content-Type": "text/plain"}, 400),
            (b"x" * (3 << 20), gzip, 413),
            (packed_report(5, 1, domain="theirs.example"), gzip, 400),
        ):
            assert client.ask("POST", "/v1/tls-reports", body, headers).status == status
        assert client.ask("GET", "/v1/tls-reports").status == 405
        taken = relay.wait_for("ReportTaken", 1)
        assert [(one["submitter"], one["domains"]) for one in taken] == [("Sender Inc.", "ours.example")]
        done = run_command("tls", "reports", "--received", "-c", relay.config)
        assert done.out.splitlines()[0] == (
            "2024-10-04 ours.example: 5 successful, 1 failed, says Sender Inc. (not signed)"
        )
        assert len(done.out.splitlines()) == 2
