"""Parts of explain that need no network; the command as a whole is in test_commands.py."""

import pytest

from postroad.cli.explain.dns import NotingLookup, Question, answer_text
from postroad.model.dns import Answer, DnsStatus, MxRecord, SrvRecord


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (
            Answer(DnsStatus.FOUND, (MxRecord(20, "mx2.example.com"), MxRecord(10, "mx1.example.com"))),
            "10 mx1.example.com, 20 mx2.example.com",
        ),
        (Answer(DnsStatus.FOUND, (MxRecord(0, ""),)), "0 . (null MX)"),
        (Answer(DnsStatus.FOUND, ("192.0.2.1", "192.0.2.2")), "192.0.2.1, 192.0.2.2"),
        (
            Answer(DnsStatus.FOUND, (SrvRecord(20, 0, 25, "b.test"), SrvRecord(10, 5, 2525, "a.test"))),
            "10 5 a.test:2525, 20 0 b.test:25",
        ),
        (Answer(DnsStatus.FOUND, (SrvRecord(0, 0, 0, ""),)), "0 0 . (not available)"),
        (Answer(DnsStatus.NO_NAME), "NXDOMAIN"),
        (Answer(DnsStatus.TIMED_OUT), "timed out"),
    ],
)
def test_answers_in_words(answer: Answer, text: str) -> None:
    assert answer_text(answer) == text


async def test_questions_are_noted() -> None:
    async def lookup(name: str, kind: str) -> Answer:
        return Answer(DnsStatus.NO_DATA if kind == "MX" else DnsStatus.FOUND, () if kind == "MX" else (name,))

    noting = NotingLookup(lookup)
    assert (await noting("example.com", "MX")).status is DnsStatus.NO_DATA
    await noting("example.com", "A")
    assert noting.questions == [Question("example.com", "MX", "no data"), Question("example.com", "A", "example.com")]
