"""What the policy `dmarc` counts for reports: how it judged, what it did, and why that was not what is asked for."""

from ipaddress import ip_network
from typing import Any

import pytest

from postroad.mailauth.arc import ArcResult
from postroad.mailauth.dkim_result import DkimResult, DkimResults
from postroad.message.dmarcreport import DkimResult as Told
from postroad.message.dmarcreport import Override, Published, Row, Seen, SpfResult, Tally
from postroad.policies.dmarc import dmarc
from postroad.policy import findings
from postroad.policy.context import MessageContext
from postroad.policy.sample import sample
from tests.support.clock import ManualClock
from tests.support.dns import FakeLookup
from tests.support.strangers import OURSELVES, answered

ASKS = "; rua=mailto:r@strict.example"
RECORDS = {
    ("_dmarc.strict.example", "TXT"): ["v=DMARC1; p=reject; sp=quarantine; aspf=s; fo=1:d" + ASKS],
    ("_dmarc.half.example", "TXT"): ["v=DMARC1; p=reject; pct=0" + ASKS],
    ("_dmarc.testing.example", "TXT"): ["v=DMARC1; p=quarantine; t=y" + ASKS],
    ("_dmarc.silent.example", "TXT"): ["v=DMARC1; p=reject"],
}
SPF = findings.SpfResult("pass", "list.example")
UNSIGNED = DkimResults((DkimResult(result="none", reason="no signature"),))
SIGNED = DkimResults((DkimResult(result="pass", reason="", domain="sub.strict.example", selector="s"),))
CLAIM = "f.example; dmarc=pass header.from=strict.example"


async def counted(
    author: str, *facts: object, to: str = "bob@example.com", subject: str = "Hi", **options: Any
) -> list[Row]:
    """What is counted of one message."""
    tally = Tally(10, frozenset({"reports@example.com"}))
    known = {type(fact): fact for fact in (SPF, UNSIGNED, *facts)}
    head = f"From: joe@{author}\r\nSubject: {subject}\r\n\r\nHello\r\n".encode()
    ctx = sample(MessageContext, content=head, facts=tuple(known.values()), recipient=to)
    asked = dmarc(ctx, dns=FakeLookup(RECORDS), clock=ManualClock(), ourselves=OURSELVES, tally=tally, **options)
    await answered(asked)
    return [Row(seen, count) for (_, seen), count in tally.take().items()]


async def test_a_message_that_is_refused() -> None:
    tally = Tally(10)
    ctx = sample(MessageContext, content=b"From: joe@mail.strict.example\r\n\r\nx\r\n", facts=(SPF, SIGNED))
    for _ in range(2):
        await answered(dmarc(ctx, dns=FakeLookup(RECORDS), clock=ManualClock(), ourselves=OURSELVES, tally=tally))
    ((key, count),) = tally.take().items()
    published, seen = key
    assert published == Published("strict.example", "reject", "quarantine", "", "r", "s", "100", "", "1:d")
    assert count == 2
    assert seen == Seen(
        "198.51.100.7",
        "none",
        "pass",
        "fail",
        "mail.strict.example",
        "example.org",
        signatures=(Told("sub.strict.example", "s", "pass"),),
        senders=(SpfResult("list.example", "mfrom", "pass"),),
    )
    assert tally.take() == {}


@pytest.mark.parametrize(
    ("author", "facts", "options", "done", "why"),
    [
        ("strict.example", (), {}, "reject", ()),
        ("sub.strict.example", (), {}, "quarantine", ()),
        ("strict.example", (), {"reject": "hold"}, "quarantine", (Override("local_policy"),)),
        ("strict.example", (), {"reject": "tag"}, "none", (Override("local_policy"),)),
        ("strict.example", (), {"reject": "ignore"}, "none", (Override("local_policy"),)),
        ("half.example", (), {}, "quarantine", (Override("sampled_out"),)),
        ("testing.example", (), {}, "none", (Override("policy_test_mode"),)),
        (
            "strict.example",
            (),
            {"trusted_forwarders": (ip_network("198.51.100.0/24"),)},
            "none",
            (Override("trusted_forwarder", "198.51.100.7 is a trusted forwarder"),),
        ),
        (
            "strict.example",
            (),
            {"mailing_lists": ("list.example",)},
            "none",
            (Override("mailing_list", "SPF proves the mailing list list.example"),),
        ),
        (
            "strict.example",
            (ArcResult(result="pass", reason="", sealers=("f.example",), claims=(CLAIM,)),),
            {"arc_sealers": ("f.example",)},
            "none",
            (Override("local_policy", "f.example sealed that DMARC passed there (ARC)"),),
        ),
    ],
)
async def test_what_was_done_and_why(
    author: str, facts: tuple[object, ...], options: dict[str, Any], done: str, why: tuple[Override, ...]
) -> None:
    (row,) = await counted(author, *facts, **options)
    assert (row.seen.disposition, row.seen.overrides, row.seen.dkim, row.seen.spf) == (done, why, "fail", "fail")


@pytest.mark.parametrize("author", ["silent.example", "nothing.example"])
async def test_domains_that_ask_for_no_reports_are_not_counted(author: str) -> None:
    assert await counted(author) == []


async def test_mail_that_brings_reports_is_not_counted() -> None:
    assert await counted("strict.example", to="Reports@example.com") == []
    assert len(await counted("strict.example", to="bob@example.com")) == 1


async def test_a_report_is_not_counted_when_its_author_is_proven() -> None:
    about = "report  domain: ours.example\r\n Submitter: strict.example"
    assert await counted("strict.example", SIGNED, subject=about) == []
    assert len(await counted("strict.example", subject=about)) == 1  # forged
    assert len(await counted("strict.example", SIGNED, subject="About the Report Domain: x")) == 1
