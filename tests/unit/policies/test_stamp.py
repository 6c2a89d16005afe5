"""The field that tells those behind us what was found out, and whose fields are not sent on."""

import pytest

from postroad.mailauth.arc import ArcResult
from postroad.mailauth.dkim_result import DkimResult, DkimResults
from postroad.mailauth.results import read_results
from postroad.policies.stamp import make_stamp
from postroad.policy.adjusting import field_of
from postroad.policy.context import MessageContext
from postroad.policy.findings import DmarcResult, PtrResult, SpfResult
from postroad.policy.sample import sample

STAMP = make_stamp("relay.example.com", finds=True)
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


SPF_FORGED = b"Received-SPF: pass receiver=relay.example.com\r\n"
SPF_OTHER = b"Received-SPF: pass receiver=other.example\r\n"


@pytest.mark.parametrize(
    ("fact", "expected"),
    [
        (
            SpfResult("pass", "example.org", reason="example.org says +mx", term="+mx"),
            ("pass (relay.example.com: example.org says +mx)", "helo=mail.example.org; mechanism=+mx"),
        ),
        (
            SpfResult("neutral", "example.org", reason="nothing in the record of example.org matches"),
            ("neutral (relay.example.com: nothing in", "mechanism=default"),
        ),
        (
            SpfResult("fail", "example.org", "mailfrom", "example.org says -all", "-all", "go (away)"),
            ("fail (relay.example.com: example.org says -all) receiver=", "mechanism=-all"),
        ),
        (
            SpfResult("permerror", "example.org", reason="example.org has 2 SPF records"),
            ("permerror (relay.example.com: example.org cannot be", 'problem="example.org has 2 SPF records"'),
        ),
        (
            SpfResult("none", "example.org", reason="the domain has no SPF record"),
            ("none (relay.example.com: the domain has no SPF record)", "helo=mail.example.org"),
        ),
    ],
)
def test_whoever_asks_for_it_gets_received_spf_below_the_results(fact: SpfResult, expected: tuple[str, str]) -> None:
    adjust = make_stamp("relay.example.com", finds=True, has_spf=True)(sample(MessageContext, facts=(fact,)))
    assert adjust is not None
    results, field = adjust.headers
    assert results.startswith(f"Authentication-Results: relay.example.com;\r\n\tspf={fact.result} ")
    told = " ".join(field.split())
    assert told.startswith(f"Received-SPF: {expected[0]}")
    assert told.endswith(expected[1])
    assert 'client-ip=198.51.100.7; envelope-from="alice@example.org"' in told
    assert "away" not in told
    assert adjust.is_stamp


def test_nothing_is_told_of_spf_that_was_not_asked_but_what_is_forged_goes() -> None:
    content = b"Subject: x\r\n" + SPF_FORGED + SPF_OTHER + FORGED + b"\r\n" + SPF_FORGED
    adjust = make_stamp("relay.example.com", finds=True, has_spf=True)(sample(MessageContext, content=content))
    assert adjust is not None
    assert len(adjust.headers) == 1
    assert {content[first:last] for first, last in adjust.cuts} == {SPF_FORGED, FORGED}
    count = len(SPF_FORGED + FORGED)
    names = "Authentication-Results and Received-SPF"
    assert adjust.reason == f"results: {count} octets of {names} in our name are not sent on"
    plain = STAMP(sample(MessageContext, content=content, facts=(SpfResult("pass", "example.org"),)))
    assert plain is not None
    assert len(plain.headers) == 1
    assert [content[first:last] for first, last in plain.cuts] == [FORGED]


def test_our_own_networks_keep_what_we_found_out_before() -> None:
    """A filter that hands mail back is one of their clients."""
    assert STAMP(sample(MessageContext, content=CONTENT, relays=True)) is None


@pytest.mark.parametrize(("finds", "login"), [(True, "ann"), (False, "ann"), (False, "")])
def test_nobody_forges_our_name_where_nothing_is_found_out(finds: bool, login: str) -> None:
    stamp = make_stamp("relay.example.com", finds=finds)
    adjust = stamp(sample(MessageContext, content=CONTENT, login=login))
    assert adjust is not None
    assert adjust.headers == ()
    assert [CONTENT[first:last] for first, last in adjust.cuts] == [FORGED]
    assert adjust.is_stamp
    assert stamp(sample(MessageContext, content=b"Subject: x\r\n\r\n", login=login)) is None


def test_why_a_signature_or_a_seal_does_not_hold_is_told() -> None:
    signed = DkimResult(result="fail", reason='the body was changed; "x"', domain="example.org", selector="s")
    facts = (DkimResults((signed, DkimResult(result="pass", reason="good"))), ArcResult(result="fail", reason="no key"))
    adjust = STAMP(sample(MessageContext, facts=facts))
    assert adjust is not None
    told = " ".join(adjust.headers[0].split())
    assert 'dkim=fail reason="the body was changed; \\"x\\"" header.d=example.org header.s=s; dkim=pass; ' in told
    assert told.endswith('arc=fail reason="no key"')


def test_a_field_can_hold_no_other() -> None:
    assert field_of("X: one\nBcc: two\r\rthree\r\n\r\nfour") == "X: one\r\n\tBcc: two\r\n\tthree\r\n\tfour\r\n"
    assert field_of("") == field_of("\r\n") == ""
