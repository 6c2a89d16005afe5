"""Call-ahead over a next hop that is played by hand: what replies mean, how long they hold, what is bounded."""

import asyncio
from collections.abc import Awaitable, Sequence

import pytest

from postroad.aliases.table import Found
from postroad.delivery.probing import Replies
from postroad.model.address import Mailbox, parse_mailbox
from postroad.model.errors import TableError
from postroad.model.records import CatchAllFound, RecipientAsked, Record
from postroad.model.reply import Reply
from postroad.model.route import SMTP, Route, Target
from postroad.recipients.answer import Meaning, meaning_of
from postroad.recipients.callahead import PAUSE, CallAhead, Way
from postroad.recipients.settings import CallAheadSettings
from tests.support.clock import ManualClock

OK = Reply(250, "2.1.5", "Ok")
NO = Reply(550, "5.1.1", "No such user")
LATER = Reply(450, "4.2.0", "Greylisted")
TARGET = Target(SMTP, "mail.x.example", "192.0.2.1", 25)


class Hop:
    """A next hop: `known` local parts exist, `others` is said of all else; None: nobody answers."""

    def __init__(self, *known: str, others: Reply | None = NO, mail: Reply = OK) -> None:
        self.known = set(known)
        self.others = others
        self.mail = mail
        self.asked: list[list[str]] = []
        self.gate: asyncio.Event | None = None
        self.at_once = self.most = 0

    async def ask(self, route: Route, mail: str, recipients: Sequence[str], timeout: float) -> Replies:
        assert (route.lane, mail) == ("x", "MAIL FROM:<>")
        assert timeout > 0
        names = [text.removeprefix("RCPT TO:<").removesuffix(">") for text in recipients]
        self.asked.append(names)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.at_once -= 1
        if self.others is None:
            return Replies(None, words="connect: refused")
        replies = [OK if name.partition("@")[0] in self.known else self.others for name in names]
        return Replies(TARGET, self.mail, tuple(replies))


class World:
    """A call-ahead over `hop`, with a clock driven by hand."""

    def __init__(self, hop: Hop, **options: object) -> None:
        self.hop = hop
        self.clock = ManualClock()
        self.records: list[Record] = []
        self.caller = CallAhead(
            CallAheadSettings.model_validate(options),
            plan=self.plan,
            ask=hop.ask,
            clock=self.clock,
            emit=self.records.append,
            invent=lambda: "invented",
        )

    async def plan(self, address: Mailbox) -> Way | str:
        if address.domain == "nowhere.example":
            return "no route matches"
        new = parse_mailbox(f"{address.local}@new.example") if address.domain == "old.example" else address
        return Way(Route("x", (TARGET,), "test"), new)

    async def known(self, address: str) -> bool | None:
        """What is said of `address`; None: that cannot be told now."""
        try:
            found = self.caller.find(address)
            return (await found if isinstance(found, Awaitable) else found) is not None
        except TableError:
            return None

    def is_remembered(self, address: str) -> bool:
        found: Found | Awaitable[Found] = self.caller.find(address)
        if isinstance(found, Awaitable):
            found.close()  # type: ignore[attr-defined]
            return False
        return True


@pytest.mark.parametrize(
    ("recipient", "meaning"),
    [
        (Reply(250, "2.1.5", "Ok"), Meaning.KNOWN),
        (Reply(251, "", "will forward"), Meaning.KNOWN),
        (Reply(252, "2.0.0", "cannot verify"), Meaning.UNCLEAR),
        (Reply(550, "5.1.1", "no such user"), Meaning.UNKNOWN),
        (Reply(550, "5.1.10", "RESOLVER.ADR.RecipientNotFound"), Meaning.UNKNOWN),
        (Reply(550, "5.4.1", "Recipient address rejected: Access denied"), Meaning.UNKNOWN),
        (Reply(550, "", "no such user"), Meaning.UNKNOWN),
        (Reply(553, "5.1.3", "bad address"), Meaning.UNKNOWN),
        (Reply(550, "5.7.1", "you are on a list"), Meaning.UNCLEAR),
        (Reply(554, "5.7.1", "relay access denied"), Meaning.UNCLEAR),
        (Reply(550, "5.2.2", "mailbox full"), Meaning.UNCLEAR),
        (Reply(552, "", "mailbox full"), Meaning.UNCLEAR),
        (Reply(450, "4.1.1", "unverified"), Meaning.UNCLEAR),
        (Reply(450, "5.1.1", "a soft bounce"), Meaning.UNCLEAR),
        (Reply(421, "4.3.2", "going"), Meaning.UNCLEAR),
        (Reply(503, "5.5.1", "need MAIL"), Meaning.UNCLEAR),
        (None, Meaning.UNCLEAR),
    ],
)
def test_what_a_reply_means(recipient: Reply | None, meaning: Meaning) -> None:
    assert meaning_of(OK, recipient) is meaning
    assert meaning_of(Reply(550, "5.1.1", "null sender refused"), recipient) is Meaning.UNCLEAR
    assert meaning_of(Reply(451, "4.3.0", "later"), recipient) is Meaning.UNCLEAR
    assert meaning_of(None, recipient) is Meaning.UNCLEAR


async def test_answers_are_remembered_yes_longer_than_no() -> None:
    world = World(Hop("ann"), known_for="1h", unknown_for="1m")
    assert await world.known("ann@x.example") is True
    assert await world.known("bob@x.example") is False
    assert world.hop.asked == [["ann@x.example", "invented@x.example"], ["bob@x.example"]]
    assert world.is_remembered("Ann@X.example")
    assert await world.known("ANN@x.example") is True
    assert await world.known("bob@x.example") is False
    assert len(world.hop.asked) == 2
    world.clock.advance(60)
    world.hop.known.add("bob")
    assert world.is_remembered("ann@x.example")
    assert await world.known("bob@x.example") is True
    world.clock.advance(3540)
    world.hop.known.clear()
    assert await world.known("ann@x.example") is False
    asked = [record for record in world.records if isinstance(record, RecipientAsked)]
    assert [(one.recipient, one.answer) for one in asked] == [
        ("ann@x.example", "known"),
        ("bob@x.example", "unknown"),
        ("bob@x.example", "known"),
        ("ann@x.example", "unknown"),
    ]
    assert (asked[1].target, asked[1].reply) == ("mail.x.example[192.0.2.1]:25", "550 5.1.1 No such user")


async def test_neither_yes_nor_no_defers_and_is_asked_again() -> None:
    world = World(Hop(others=LATER))
    assert await world.known("ann@x.example") is None
    world.hop.known.add("ann")
    assert await world.known("ann@x.example") is True


async def test_neither_yes_nor_no_can_be_a_yes_that_is_not_remembered() -> None:
    world = World(Hop(others=LATER), when_unclear="accept")
    assert await world.known("ann@x.example") is True
    assert not world.is_remembered("ann@x.example")


async def test_a_refused_sender_says_nothing_of_the_recipient() -> None:
    world = World(Hop(mail=Reply(550, "5.1.0", "null sender refused")))
    assert await world.known("ann@x.example") is None


async def test_an_old_yes_holds_while_nobody_answers_and_an_old_no_does_not() -> None:
    world = World(Hop("ann"), known_for="1h", unknown_for="1m")
    assert await world.known("ann@x.example") is True
    assert await world.known("bob@x.example") is False
    world.clock.advance(7200)
    world.hop.others = None
    assert await world.known("ann@x.example") is True
    assert await world.known("bob@x.example") is None


async def test_a_domain_nobody_answers_for_is_let_alone_for_a_moment() -> None:
    world = World(Hop(others=None))
    assert await world.known("ann@x.example") is None
    assert await world.known("bob@x.example") is None
    assert len(world.hop.asked) == 1
    assert await world.known("ann@y.example") is None
    assert len(world.hop.asked) == 2
    world.clock.advance(PAUSE)
    world.hop.others = NO
    assert await world.known("bob@x.example") is False


async def test_without_a_route_nobody_is_asked() -> None:
    world = World(Hop())
    assert await world.known("ann@nowhere.example") is None
    assert world.hop.asked == []


async def test_the_address_that_routes_put_in_its_place_is_asked_about() -> None:
    world = World(Hop("ann"))
    assert await world.known("ann@old.example") is True
    assert world.hop.asked == [["ann@new.example", "invented@new.example"]]


async def test_a_next_hop_that_takes_any_name_is_told_once_and_let_alone() -> None:
    world = World(Hop(others=OK), known_for="1h")
    assert [await world.known(f"{name}@x.example") for name in ("ann", "bob", "eve")] == [True] * 3
    assert len(world.hop.asked) == 1
    found = [record for record in world.records if isinstance(record, CatchAllFound)]
    assert [(one.domain, one.target) for one in found] == [("x.example", "mail.x.example[192.0.2.1]:25")]
    world.clock.advance(3600)
    assert await world.known("eve@x.example") is True
    assert len(world.hop.asked) == 2
    assert len([record for record in world.records if isinstance(record, CatchAllFound)]) == 1
    world.clock.advance(3600)
    world.hop.others = NO
    assert await world.known("eve@x.example") is False
    assert await world.known("bob@x.example") is False


async def test_the_same_address_is_asked_about_once_at_a_time_and_survives_who_gives_up() -> None:
    world = World(Hop("ann"))
    world.hop.gate = asyncio.Event()
    impatient, *others = [asyncio.create_task(world.known("ann@x.example")) for _ in range(5)]
    await world.clock.turn()
    impatient.cancel()
    await world.clock.turn()
    world.hop.gate.set()
    assert await asyncio.gather(*others) == [True] * 4
    assert len(world.hop.asked) == 1


async def test_questions_are_bounded() -> None:
    world = World(Hop(), questions=3)
    world.hop.gate = asyncio.Event()
    waiting = [asyncio.create_task(world.known(f"n{number}@x.example")) for number in range(2000)]
    await world.clock.turn()
    assert world.hop.at_once == 3
    done = [task for task in waiting if task.done()]
    assert len(done) == 2000 - 1003
    assert {task.result() for task in done} == {None}
    world.hop.gate.set()
    answers = await asyncio.gather(*waiting)
    assert answers.count(False) == 1003
    assert world.hop.most == 3


async def test_time_is_bounded() -> None:
    world = World(Hop("ann"), timeout="10ms")
    world.hop.gate = asyncio.Event()
    assert await world.known("ann@x.example") is None
    assert world.hop.at_once == 0


async def test_closing_ends_what_is_asked() -> None:
    world = World(Hop("ann"))
    world.hop.gate = asyncio.Event()
    asked = asyncio.create_task(world.known("ann@x.example"))
    await world.clock.turn()
    await world.caller.close()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert world.hop.at_once == 0
