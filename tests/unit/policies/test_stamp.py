"""The field that tells those behind us what was found out, and whose fields are not sent on."""

from postroad.mailauth.dkim_result import DkimResults
from postroad.mailauth.results import read_results
from postroad.policies.stamp import make_stamp
from postroad.policy.adjusting import field_of
from postroad.policy.context import MessageContext
from postroad.policy.findings import DmarcResult, PtrResult, SpfResult
from postroad.policy.sample import sample

STAMP = make_stamp("relay.example.com")
FORGED = b"Authentication-Results: relay.example.com; spf=pass\r\n"
CONTENT = b"Subject: x\r\n" + FORGED + b"To: y\r\n\r\nAuthentication-Results: relay.example.com; spf=pass\r\n"


def test_what_is_known_is_told() -> None:
    facts = (
        SpfResult("pass", "example.org"),
        PtrResult(("mail.example.org",)),
        DkimResults(()),
        DmarcResult("fail", "example.org", "reject", "reject", "nothing proves it", "a list"),
    )
    adjust = STAMP(sample(MessageContext, facts=facts))
    assert adjust is not None
    (field,) = adjust.headers
    told = read_results(field.partition(":")[2].encode())
    assert told is not None
    assert [(one.method, one.result) for one in told.results] == [("iprev", "pass"), ("spf", "pass"), ("dmarc", "fail")]
    assert (adjust.reason, adjust.cuts) == ("", ())
    assert adjust.is_stamp


def test_nothing_known_is_told_too() -> None:
    adjust = STAMP(sample(MessageContext))
    assert adjust is not None
    assert field_of(adjust.headers[0]) == "Authentication-Results: relay.example.com; none\r\n"


def test_fields_of_our_name_are_cut_out_of_the_header_alone() -> None:
    adjust = STAMP(sample(MessageContext, content=CONTENT))
    assert adjust is not None
    ((first, last),) = adjust.cuts
    assert CONTENT[first:last] == FORGED
    assert "not sent on" in adjust.reason


def test_mail_of_those_we_know_is_left_alone() -> None:
    for known in ({"relays": True}, {"login": "ann"}):
        assert STAMP(sample(MessageContext, content=CONTENT, **known)) is None


def test_a_field_can_hold_no_other() -> None:
    assert field_of("X: one\nBcc: two\r\rthree\r\n\r\nfour") == "X: one\r\n\tBcc: two\r\n\tthree\r\n\tfour\r\n"
    assert field_of("") == field_of("\r\n") == ""
