"""TLS reports as RFC 8460 has them: records, the report against the RFC's example and its schema, the mail."""

import email
import email.policy
import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.message.reportmail import Author, mailbox_of, packed
from postroad.message.tlsrpt import URIS, compose, parse_record, report_json
from postroad.message.trace import read_head
from postroad.model.address import parse_mailbox
from postroad.model.tlscounts import TlsCount, TlsKey

DAY = 16892  # 2016-04-01
COMPANY_X = Author("Company-X", "sts-reporting@company-x.example", "tlsrpt@company-x.example")
POLICY = "version: STSv1\nmode: testing\nmx: *.mail.company-y.example\nmax_age: 86400"
# The example of RFC 8460, appendix B.
EXAMPLE = json.loads(
    """{
  "organization-name": "Company-X",
  "date-range": {"start-datetime": "2016-04-01T00:00:00Z", "end-datetime": "2016-04-01T23:59:59Z"},
  "contact-info": "sts-reporting@company-x.example",
  "report-id": "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
  "policies": [{
    "policy": {
      "policy-type": "sts",
      "policy-string": ["version: STSv1","mode: testing", "mx: *.mail.company-y.example","max_age: 86400"],
      "policy-domain": "company-y.example",
      "mx-host": ["*.mail.company-y.example"]
    },
    "summary": {"total-successful-session-count": 5326, "total-failure-session-count": 303},
    "failure-details": [{
      "result-type": "certificate-expired",
      "sending-mta-ip": "2001:db8:abcd:0012::1",
      "receiving-mx-hostname": "mx1.mail.company-y.example",
      "failed-session-count": 100
    }, {
      "result-type": "starttls-not-supported",
      "sending-mta-ip": "2001:db8:abcd:0013::1",
      "receiving-mx-hostname": "mx2.mail.company-y.example",
      "receiving-ip": "203.0.113.56",
      "failed-session-count": 200
    }, {
      "result-type": "validation-failure",
      "sending-mta-ip": "198.51.100.62",
      "receiving-ip": "203.0.113.58",
      "receiving-mx-hostname": "mx-backup.mail.company-y.example",
      "failed-session-count": 3,
      "failure-reason-code": "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED"
    }]
  }]
}"""
)


def count(result: str, number: int, **more: str) -> TlsCount:
    return TlsCount(TlsKey(DAY, "company-y.example", "sts", POLICY, result, **more), number)


COUNTS = [
    count("success", 5326),
    count("certificate-expired", 100, sending_ip="2001:db8:abcd:0012::1", mx_host="mx1.mail.company-y.example"),
    count(
        "starttls-not-supported",
        200,
        sending_ip="2001:db8:abcd:0013::1",
        mx_host="mx2.mail.company-y.example",
        receiving_ip="203.0.113.56",
    ),
    count(
        "validation-failure",
        3,
        sending_ip="198.51.100.62",
        receiving_ip="203.0.113.58",
        mx_host="mx-backup.mail.company-y.example",
        words="X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED",
    ),
]


def test_the_example_of_the_rfc() -> None:
    report = json.loads(report_json(DAY, "company-y.example", COMPANY_X, COUNTS))
    assert report == {**EXAMPLE, "report-id": "2016-04-01T00:00:00Z_company-y.example@company-x.example"}


def test_policies_stand_apart() -> None:
    tlsa = TlsCount(TlsKey(DAY, "company-y.example", "tlsa", "3 1 1 00ff", "success"), 2)
    failed = TlsCount(TlsKey(DAY, "company-y.example", "sts", "", "sts-policy-fetch-error", words="no answer"), 4)
    report = json.loads(report_json(DAY, "company-y.example", COMPANY_X, [*COUNTS, tlsa, failed]))
    assert [(one["policy"]["policy-type"], one["summary"]) for one in report["policies"]] == [
        ("sts", {"total-successful-session-count": 0, "total-failure-session-count": 4}),
        ("sts", {"total-successful-session-count": 5326, "total-failure-session-count": 303}),
        ("tlsa", {"total-successful-session-count": 2, "total-failure-session-count": 0}),
    ]
    assert "policy-string" not in report["policies"][0]["policy"]
    assert report["policies"][2]["policy"]["policy-string"] == ["3 1 1 00ff"]
    assert "failure-details" not in report["policies"][2]


@pytest.mark.parametrize(
    ("texts", "uris"),
    [
        (["v=TLSRPTv1;rua=mailto:reports@example.com"], ("mailto:reports@example.com",)),
        (
            ["v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt , mailto:a@example.com;"],
            ("https://reporting.example.com/v1/tlsrpt", "mailto:a@example.com"),
        ),
        (["other", "v=TLSRPTv1; x=y; rua=MAILTO:a%2Bb@example.com"], ("MAILTO:a%2Bb@example.com",)),
        (["v=TLSRPTv1; rua=mailto:a@example.com,mailto:a@example.com"], ("mailto:a@example.com",)),
        (["v=TLSRPTv1; rua=http://a.example/,ftp://a.example/,mailto:nobody,file:///etc/passwd"], ()),
        (["v=TLSRPTv1; rua=https://user@a.example/,https:///x,https://a.example/\x01"], ()),
        (["v=TLSRPTv1; rua=mailto:a@example.com", "v=TLSRPTv1; rua=mailto:b@example.com"], ()),
        (["v=TLSRPTv2; rua=mailto:a@example.com"], ()),
        (["v=TLSRPTv1"], ()),
        ([], ()),
    ],
)
def test_records(texts: list[str], uris: tuple[str, ...]) -> None:
    assert parse_record(texts) == uris


def test_addresses_of_uris() -> None:
    assert str(mailbox_of("mailto:a%2Bb@example.com?subject=x")) == "a+b@example.com"
    assert mailbox_of("mailto:a@example.com%0d%0aBcc:b@example.com") is None
    assert mailbox_of("https://example.com/") is None


@given(st.text(max_size=60))
def test_any_record_is_some_addresses(text: str) -> None:
    for record in (text, f"v=TLSRPTv1;{text}", f"v=TLSRPTv1; rua={text}", f"v=TLSRPTv1; rua=mailto:{text}"):
        for uri in parse_record([record]):
            mailbox = mailbox_of(uri)
            assert uri.lower().startswith("https://") or (mailbox is not None and mailbox.text.isprintable())


def test_of_many_addresses_some_are_served() -> None:
    record = "v=TLSRPTv1; rua=" + ",".join(f"mailto:a{number}@example.com" for number in range(10_000))
    assert len(parse_record([record])) == URIS


def test_the_mail_as_others_read_it() -> None:
    report = report_json(DAY, "company-y.example", COMPANY_X, COUNTS)
    to = parse_mailbox("reports@company-y.example")
    octets = compose(DAY, "company-y.example", COMPANY_X, to, packed(report), 1_459_555_200_000_000)
    assert max(map(len, octets.split(b"\r\n"))) < 200
    assert read_head(octets).waives_tls
    mail = email.message_from_bytes(octets, policy=email.policy.default)
    assert mail.defects == []
    assert mail.get_content_type() == "multipart/report"
    assert mail.get_param("report-type") == "tlsrpt"
    assert (mail["TLS-Report-Domain"], mail["TLS-Report-Submitter"]) == ("company-y.example", "company-x.example")
    assert mail["Subject"] == (
        "Report Domain: company-y.example Submitter: company-x.example "
        "Report-ID: <2016-04-01T00:00:00Z_company-y.example@company-x.example>"
    )
    text, attached = mail.iter_parts()
    assert "company-y.example" in text.get_content()
    assert attached.get_content_type() == "application/tlsrpt+gzip"
    assert attached.get_filename() == "company-x.example!company-y.example!1459468800!1459555199!16892.json.gz"
    assert gzip.decompress(attached.get_content()) == report
    assert octets == compose(DAY, "company-y.example", COMPANY_X, to, packed(report), 1_459_555_200_000_000)
