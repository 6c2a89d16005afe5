"""Reports of others, as a policy sees them: what is kept, what goes on, and how many may wait."""

import asyncio
import threading
from pathlib import Path

import pytest

from postroad.message.reportmail import Author, NoReportError, ReportError, packed
from postroad.message.tlsrpt import compose, report_json
from postroad.model.address import parse_mailbox
from postroad.model.security import SUCCESS
from postroad.model.tlscounts import TlsCount, TlsKey
from postroad.policies.reports import ReportKind, TakenReports, read_tls
from postroad.policy.context import MessageContext
from postroad.policy.sample import sample
from postroad.policy.verdict import Adjust, Answer, Defer, Discard
from postroad.store.reportsin import ReceivedReport, ReceivedReports
from tests.support.strangers import answered

TO = "dmarc@ours.example"


class Reading:
    """Reads what mails say: "none", "broken", or an id; and waits while it is told to."""

    def __init__(self) -> None:
        self.may_go = threading.Event()
        self.may_go.set()
        self.at_once = self.most = 0

    def __call__(self, content: bytes, proven: tuple[str, ...] | None, now: int) -> ReceivedReport:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        assert self.may_go.wait(60)
        self.at_once -= 1
        text = content.decode()
        if text == "none":
            raise NoReportError("no part of it")
        if text == "broken":
            raise ReportError("it is broken")
        return ReceivedReport("them", text, now, "2026-11-26", "ours.example", 1, 0, "", "{}")


def policy(folder: Path, reading: Reading, *, broken: bool = False) -> TakenReports:
    """The policy at one address, for one kind of report."""
    file = folder / ("nowhere/x.db" if broken else "x.db")
    return TakenReports([ReportKind("DMARC", frozenset({TO}), reading, ReceivedReports(file, "dmarc"))], lambda: 7)


def asked(taken: TakenReports, text: str, to: str = TO) -> Answer | None:
    """What it says of a mail."""
    return asyncio.run(answered(taken(sample(MessageContext, recipient=to, content=text.encode()))))


@pytest.mark.parametrize(
    ("proven", "is_kept"),
    [
        (None, True),
        (("sender.example",), True),
        (("other.example", "mail.sender.example"), True),
        ((), False),
        (("other.example",), False),
        (("notsender.example",), False),
        (("r.example",), False),
    ],
)
def test_a_report_about_tls_that_its_author_has_not_signed_does_not_count(
    proven: tuple[str, ...] | None, *, is_kept: bool
) -> None:
    """RFC 8460 3, where signatures are looked at; a mail without a report stays what it is."""
    author = Author("Sender Inc.", "postmaster@sender.example", "tlsrpt@sender.example")
    counted = TlsCount(TlsKey(20_000, "ours.example", "sts", "mode: enforce", SUCCESS), 1)
    report = packed(report_json(20_000, "ours.example", author, [counted]))
    mail = compose(20_000, "ours.example", author, parse_mailbox(TO), report, 1)
    if is_kept:
        assert read_tls(mail, proven, 1).proven == " ".join(proven or ())
    else:
        with pytest.raises(ReportError, match=r"it has no DKIM signature of sender\.example, whose it says it is"):
            read_tls(mail, proven, 1)
    with pytest.raises(NoReportError):
        read_tls(b"Subject: hello\r\n\r\nhello\r\n", proven, 1)


def test_what_becomes_of_each(tmp_path: Path) -> None:
    taken = policy(tmp_path, Reading())
    assert asked(taken, "1") == Discard("the DMARC report 1 of them is kept")
    assert asked(taken, "1") == Discard("the DMARC report 1 of them was there already")
    assert asked(taken, "2", TO.upper()) == Discard("the DMARC report 2 of them is kept")
    assert asked(taken, "none") is None
    assert asked(taken, "1", "ann@ours.example") is None
    wrong = "a DMARC report that cannot be read: it is broken"
    assert asked(taken, "broken") == Adjust(wrong, tags=("unread-report",))
    large = asked(taken, "x" * (11 << 20))
    assert isinstance(large, Adjust)
    assert "at most 10 MiB" in large.reason
    assert [one.id for one in ReceivedReports(tmp_path / "x.db", "dmarc").all()] == ["1", "2"]
    assert isinstance(asked(policy(tmp_path, Reading(), broken=True), "3"), Defer)


def test_one_is_read_at_a_time_and_only_so_many_wait(tmp_path: Path) -> None:
    reading = Reading()
    taken = policy(tmp_path, reading)

    async def flood() -> list[Answer | None]:
        reading.may_go.clear()
        contexts = [sample(MessageContext, recipient=TO, content=b"%d" % at) for at in range(60)]
        tasks = [asyncio.ensure_future(answered(taken(one))) for one in contexts]
        while sum(task.done() for task in tasks) < 10:
            await asyncio.sleep(0)
        reading.may_go.set()
        return await asyncio.gather(*tasks)

    answers = asyncio.run(flood())
    deferred = [one for one in answers if isinstance(one, Defer)]
    assert [one.reason for one in deferred] == ["50 reports wait to be read"] * 10
    assert sum(isinstance(one, Discard) for one in answers) == 50
    assert reading.most == 1
    assert asked(taken, "afterwards") == Discard("the DMARC report afterwards of them is kept")
