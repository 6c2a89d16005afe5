"""TLS reports of others: the example of RFC 8460, our own form, and what strangers may send instead."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.message.reportmail import MAIL_LIMIT, Author, ReportError, packed
from postroad.message.tlsrpt import GZIP, compose, report_json
from postroad.message.tlsrptread import (
    JSON,
    REPORT_LIMIT,
    read_report,
    report_in_mail,
)
from postroad.model.address import parse_mailbox
from postroad.model.security import SUCCESS
from postroad.model.tlscounts import TlsCount, TlsKey

AUTHOR = Author("Example", "postmaster@sender.example", "tlsrpt@sender.example")
COUNTS = [
    TlsCount(TlsKey(20_000, "example.com", "sts", "mode: enforce", SUCCESS), 41),
    TlsCount(TlsKey(20_000, "example.com", "sts", "mode: enforce", "certificate-expired", mx_host="mx.example.com"), 3),
]
EXAMPLE = {  # RFC 8460 B
    "organization-name": "Company-X",
    "date-range": {"start-datetime": "2016-04-01T00:00:00Z", "end-datetime": "2016-04-01T23:59:59Z"},
    "contact-info": "sts-reporting@company-x.example",
    "report-id": "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
    "policies": [
        {
            "policy": {
                "policy-type": "sts",
                "policy-string": ["version: STSv1", "mode: testing", "mx: *.mail.company-y.example", "max_age: 86400"],
                "policy-domain": "company-y.example",
                "mx-host": "*.mail.company-y.example",
            },
            "summary": {"total-successful-session-count": 5326, "total-failure-session-count": 303},
            "failure-details": [
                {
                    "result-type": "certificate-expired",
                    "sending-mta-ip": "2001:db8:abcd:0012::1",
                    "receiving-mx-hostname": "mx1.mail.company-y.example",
                    "failed-session-count": 100,
                },
                {
                    "result-type": "starttls-not-supported",
                    "receiving-ip": "203.0.113.56",
                    "failed-session-count": 200,
                    "additional-information": "https://reports.company-x.example/report_info",
                },
                {"result-type": "validation-failure", "failed-session-count": 3, "failure-reason-code": "X509_V_ERR"},
            ],
        }
    ],
}


def test_the_example() -> None:
    for body, kind in ((json.dumps(EXAMPLE).encode(), JSON), (gzip.compress(json.dumps(EXAMPLE).encode()), GZIP)):
        report = read_report(body, kind)
        assert (report.organization_name, report.domains) == ("Company-X", ("company-y.example",))
        assert (report.good, report.bad) == (5326, 303)
        assert [one.failed_session_count for one in report.policies[0].failure_details] == [100, 200, 3]


def test_our_own_mail_is_read_back() -> None:
    body = packed(report_json(20_000, "example.com", AUTHOR, COUNTS))
    mail = compose(20_000, "example.com", AUTHOR, parse_mailbox("tlsrpt@example.com"), body, 1)
    report = report_in_mail(mail)
    assert (report.good, report.bad, report.domains) == (41, 3, ("example.com",))
    assert report_in_mail(mail.replace(b"\r\n", b"\n")) == report


def changed(**values: object) -> bytes:
    return json.dumps({**EXAMPLE, **values}).encode()


BOMB = gzip.compress(b'{"a":"' + b"x" * (REPORT_LIMIT + 10) + b'"}', 9)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"\xff\xfe{}", "no JSON"),
        (changed(policies=[]), "no policy"),
        (changed(**{"report-id": ""}), "no id"),
        (changed(policies="all"), "no JSON"),
        (
            changed(**{"date-range": {"start-datetime": "99999-99-99", "end-datetime": "2016-04-01T23:59:59Z"}}),
            "no JSON",
        ),
        (changed(policies=EXAMPLE["policies"] * 1001), "more than"),  # type: ignore[operator]
        (BOMB, "larger than 20 MiB"),
        (BOMB[:200], "ends too early"),
        (b"\x1f\x8b\x00not gzip", "no gzip"),
    ],
    ids=range(11),
)
def test_what_cannot_be_read_is_told(body: bytes, words: str) -> None:
    with pytest.raises(ReportError, match=words):
        read_report(body, JSON)


@pytest.mark.parametrize(
    ("mail", "words"),
    [
        (b"", "no part"),
        (b"Subject: hello\r\n\r\nhello\r\n", "no part"),
        (b"x" * (MAIL_LIMIT + 1), "larger than"),
        (b"Content-Type: application/tlsrpt+gzip\r\n\r\nnot packed", "no gzip"),
        (b"Content-Type: application/tlsrpt+json\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!", "no JSON"),
    ],
    ids=range(5),
)
def test_mail_without_a_report(mail: bytes, words: str) -> None:
    with pytest.raises(ReportError, match=words):
        report_in_mail(mail)


def test_a_tower_of_parts_has_an_end() -> None:
    parts = [f"Content-Type: multipart/mixed; boundary=b{number}\r\n\r\n--b{number}\r\n" for number in range(3000)]
    with pytest.raises(ReportError):
        report_in_mail("".join(parts).encode())


@given(st.binary(max_size=300), st.sampled_from([JSON, GZIP]))
def test_any_octets_are_a_report_or_told_why_not(body: bytes, kind: str) -> None:
    head = f"Content-Type: {kind}\r\n\r\n".encode()
    with pytest.raises(ReportError):
        read_report(body, kind)
    for mail in (head + body, body):
        with pytest.raises(ReportError):
            report_in_mail(mail)
