"""A report about mail with REQUIRETLS has it too, and never the content (RFC 8689 5); what policies ask adds up."""

import pytest
from msgspec.structs import replace

from postroad.message.dsn import FAILED, Notice, Report
from postroad.policy.adjusting import with_adjustments
from postroad.policy.verdict import Adjust
from postroad.queue.report import build, returns_content
from tests.support.delivering import make_works

ENVELOPE = make_works("b@example.net", tls="requiretls")[0].stored.envelope
NOTICE = Notice(ENVELOPE.recipients[0], FAILED, "5.7.30")


@pytest.mark.parametrize(("tls", "of_report"), [("requiretls", "requiretls"), ("required", ""), ("optional", "")])
def test_reports(tls: str, of_report: str) -> None:
    envelope = replace(ENVELOPE, tls=tls)
    report = Report("id", "relay.example.com", 0, envelope, (NOTICE,), b"Subject: x\r\n", full=False)
    assert build(report)[0].tls == of_report
    assert build(report, postmaster=ENVELOPE.sender)[0].tls == of_report
    assert returns_content(envelope, [NOTICE], 1 << 20) == (tls != "requiretls")


@pytest.mark.parametrize(
    ("said", "policy", "tls"),
    [
        ("requiretls", "required", "requiretls"),
        ("optional", "required", "required"),
        ("optional", "", "optional"),
        ("", "required", "required"),
        ("requiretls", "", "requiretls"),
    ],
)
def test_a_policy_never_takes_away_what_the_sender_requires(said: str, policy: str, tls: str) -> None:
    assert with_adjustments(replace(ENVELOPE, tls=said), Adjust("why", tls=policy)).tls == tls
