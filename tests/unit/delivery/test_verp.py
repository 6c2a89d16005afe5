"""VERP: which reverse-path names whom, and one transaction for each recipient."""

import pytest

from postroad.delivery.returnpath import ReturnPaths
from postroad.delivery.returnpathsettings import BatvSettings, VerpSettings
from postroad.delivery.verp import Verp, one_by_one
from postroad.mailauth.srs import Batv, Signer
from postroad.model.address import NULL_PATH, Mailbox, parse_mailbox
from postroad.model.content import Content
from postroad.model.envelope import Envelope, Recipient
from postroad.model.outcome import Deferred, Delivered, Outcome, Scope
from postroad.model.reply import Reply
from postroad.model.route import Route
from postroad.model.work import Place, Stored, Work

VERP = Verp(VerpSettings(senders=("news@ours.example", "lists.ours.example")))


def is_ours(mailbox: Mailbox) -> bool:
    return mailbox.domain.endswith("ours.example")


def path(sender: str, *to: str, verp: Verp = VERP, batv: bool = False) -> str:
    """The reverse-path."""
    tags = (Batv(Signer((b"x",)), 7), BatvSettings(domains=("ours.example",), secret="x")) if batv else None
    paths = ReturnPaths(None, tags, verp, is_ours=is_ours, now=lambda: 1_800_000_000_000_000)
    found = paths(parse_mailbox(sender), [Recipient(parse_mailbox(one)) for one in to])
    return found.text


@pytest.mark.parametrize(
    ("sender", "to", "found"),
    [
        ("news@ours.example", "joe@example.org", "news+joe=example.org@ours.example"),
        ("News@ours.example", "Joe.Doe+x@example.org", "News+Joe.Doe+x=example.org@ours.example"),
        ("any@lists.ours.example", "joe@example.org", "any+joe=example.org@lists.ours.example"),
        ("ann@ours.example", "joe@example.org", "ann@ours.example"),
        ("news@ours.example", "bob@ours.example", "news@ours.example"),
        ("news@ours.example", '"a b"@example.org', '"news+a b=example.org"@ours.example'),
        ("news@ours.example", "joe@" + "x" * 60 + ".example", "news@ours.example"),
        ("news@ours.example", "j\u00f6@example.org", "news+j\u00f6=example.org@ours.example"),
    ],
)
def test_paths(sender: str, to: str, found: str) -> None:
    assert path(sender, to) == found


def test_several_recipients_have_the_sender_itself() -> None:
    assert path("news@ours.example", "joe@example.org", "ann@example.org") == "news@ours.example"


def test_other_delimiters_and_a_tag_on_top() -> None:
    other = Verp(VerpSettings(senders=("*",), delimiters="-="))
    assert path("news@ours.example", "joe@example.org", verp=other) == "news-joe=example.org@ours.example"
    tagged = path("news@ours.example", "joe@example.org", batv=True)
    assert tagged.startswith("prvs=")
    assert tagged.endswith("=news+joe=example.org@ours.example")
    assert not other.concerns(NULL_PATH)


GOOD = Delivered(Reply(250, "2.0.0", "Ok"), None)
LATER = Reply(450, "4.2.0", "later")


@pytest.mark.parametrize(
    ("answers", "found", "calls"),
    [
        ([GOOD, GOOD, GOOD], [GOOD, GOOD, GOOD], [[0], [1], [2]]),
        (
            [Deferred(LATER, Scope.RECIPIENT), GOOD, GOOD],
            [Deferred(LATER, Scope.RECIPIENT), GOOD, GOOD],
            [[0], [1], [2]],
        ),
        ([GOOD, Deferred(LATER, Scope.HOST)], [GOOD, *[Deferred(LATER, Scope.HOST)] * 2], [[0], [1]]),
        ([Deferred(LATER, Scope.NEXT_HOP)], [Deferred(LATER, Scope.NEXT_HOP)] * 3, [[0]]),
    ],
)
async def test_one_by_one(answers: list[Outcome], found: list[Outcome] | None, calls: list[list[int]]) -> None:
    given, made = iter(answers), []

    async def deliver(_route: Route, works: list[Work], _content: Content) -> list[Outcome]:
        made.append([work.index for work in works])
        return [next(given)]

    outcomes = await one_by_one(deliver, VERP)(Route("x", (), "test"), works("news@ours.example"), b"")
    assert outcomes == (answers if found is None else found)
    assert made == calls


async def test_mail_of_others_goes_as_it_did() -> None:
    made = []

    async def deliver(_route: Route, works: list[Work], _content: Content) -> list[Outcome]:
        made.append(len(works))
        return [GOOD] * len(works)

    await one_by_one(deliver, VERP)(Route("x", (), "test"), works("ann@ours.example"), b"")
    assert made == [3]


def works(sender: str) -> list[Work]:
    """Three recipients of one message."""
    recipients = tuple(Recipient(parse_mailbox(f"{name}@example.org")) for name in "abc")
    envelope = Envelope(id="x", sender=parse_mailbox(sender), recipients=recipients, arrived=0, size=0)
    stored = Stored(envelope, Place("main", 0, 0, 0))
    return [Work(stored, index, "mx:example.org") for index in range(3)]
