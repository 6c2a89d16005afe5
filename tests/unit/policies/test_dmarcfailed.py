"""Of which messages the policy `dmarc` has failure reports sent: by fo=, of mail of people, and without recipients."""

import pytest

from postroad.mailauth.dkim_result import DkimResult, DkimResults
from postroad.message.dmarcfailure import Failure
from postroad.message.dmarcreport import Tally
from postroad.policies.dmarc import dmarc
from postroad.policy.context import MessageContext
from postroad.policy.findings import SpfResult
from postroad.policy.sample import sample
from tests.support.clock import ManualClock
from tests.support.dns import FakeLookup
from tests.support.strangers import OURSELVES, answered

HEAD = (
    "Received: from a by b for <bob@example.com>\r\nFrom: joe@mail.example.org\r\nTo: bob@example.com\r\n"
    "Cc: cy@example.com\r\nSubject: Hi\r\nX-Secret: 1\r\n{more}\r\nHello\r\n"
)
PASSES = DkimResult(result="pass", reason="", domain="mail.example.org", selector="s", identity="@mail.example.org")
FAILS = DkimResult(result="fail", reason="", domain="list.example", selector="t", identity="@list.example")
OURS = SpfResult("pass", "mail.example.org")
THEIRS = SpfResult("pass", "list.example")
SOFT = SpfResult("softfail", "list.example")


async def told(
    record: str, *, spf: SpfResult, dkim: tuple[DkimResult, ...] = (), more: str = "", **changes: object
) -> list[Failure]:
    """What is told of one message."""
    found: list[Failure] = []
    tally = Tally(10, frozenset({"reports@example.com"}))
    tally.tell = found.append
    lookup = FakeLookup({("_dmarc.example.org", "TXT"): ["v=DMARC1; p=reject; " + record]})
    content = HEAD.format(more=more).encode()
    facts = (spf, DkimResults(dkim or (DkimResult(result="none", reason=""),)))
    ctx = sample(MessageContext, content=content, facts=facts, **changes)  # type: ignore[arg-type]
    clock = ManualClock(1_000_000)
    await answered(dmarc(ctx, dns=lookup, clock=clock, ourselves=OURSELVES, tally=tally))
    return found


async def test_what_is_told() -> None:
    (one,) = await told("ruf=mailto:r@example.org", spf=THEIRS, dkim=(FAILS,))
    assert (one.domain, one.author, one.at, one.why, one.done) == (
        "example.org",
        "mail.example.org",
        1_000_000,
        "dmarc",
        "reject",
    )
    assert (one.source_ip, one.aligned, one.signed) == ("198.51.100.7", (), ("list.example", "@list.example", "t"))
    assert "dmarc=fail header.from=mail.example.org" in one.results
    assert "spf=pass smtp.mailfrom=list.example" in one.results
    assert one.header == (b"From: joe@mail.example.org", b"Subject: Hi")


@pytest.mark.parametrize(
    ("fo", "spf", "dkim", "why"),
    [
        ("0", THEIRS, (), "dmarc"),
        ("0", OURS, (), ""),
        ("1", OURS, (), "dmarc"),
        ("1", OURS, (PASSES,), ""),
        ("d", THEIRS, (), ""),
        ("d", OURS, (FAILS,), "signature"),
        ("s", SOFT, (PASSES,), "spf"),
        ("s", THEIRS, (FAILS,), ""),
        ("d:s", SOFT, (FAILS,), "signature"),
        ("0:s", SOFT, (), "dmarc"),
    ],
)
async def test_what_is_asked_for(fo: str, spf: SpfResult, dkim: tuple[DkimResult, ...], why: str) -> None:
    found = await told(f"ruf=mailto:r@example.org; fo={fo}", spf=spf, dkim=dkim)
    assert [one.why for one in found] == ([why] if why else [])


async def test_what_is_never_told() -> None:
    asks = "ruf=mailto:r@example.org"
    assert await told("rua=mailto:r@example.org", spf=THEIRS) == []
    assert await told(asks, spf=THEIRS, more="Auto-Submitted: auto-generated\r\n") == []
    assert len(await told(asks, spf=THEIRS, more="Auto-Submitted: no\r\n")) == 1
    assert await told(asks, spf=THEIRS, sender="") == []
    assert await told(asks, spf=THEIRS, recipient="Reports@example.com") == []
    assert await told(asks, spf=SpfResult("temperror", "mail.example.org")) == []
