"""What tests of checks on strangers need: ourselves, faults that are noted, and a policy called and waited for."""

from collections.abc import Awaitable, Sequence

from msgspec import Struct

from postroad.model.address import Mailbox
from postroad.model.greylisting import Ruling, Terms
from postroad.model.records import CheckFaulted, Record
from postroad.policy.strangers import Faults, Ourselves
from postroad.policy.verdict import Accept, Adjust, Answer, Defer, Discard, Reject


def takes(recipient: Mailbox) -> bool:
    """Recipients of example.com are ours."""
    return recipient.domain == "example.com"


OURSELVES = Ourselves("relay.example.com", frozenset({"192.0.2.25", "2001:db8::25"}), takes)


class Noted:
    """Faults that were told."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.now = 1_700_000_000_000_000
        self.faults = Faults(self.records.append, lambda: self.now)

    def told(self) -> list[str]:
        """Each as `check: reason`."""
        return [f"{record.check}: {record.reason}" for record in self.records if isinstance(record, CheckFaulted)]


class Book:
    """A greylist that says what it is told to, or raises it; `asked` is what it was asked."""

    def __init__(self, ruling: Ruling | Exception) -> None:
        self.ruling = ruling
        self.asked: list[tuple[tuple[str, ...], tuple[str, str], Terms]] = []

    async def judge(self, parties: Sequence[str], pair: tuple[str, str], terms: Terms) -> Ruling:
        self.asked.append((tuple(parties), pair, terms))
        if isinstance(self.ruling, Exception):
            raise self.ruling
        return self.ruling


async def answered(answer: object) -> Answer | None:
    """The answer of a policy, waited for when it has to wait."""
    if isinstance(answer, Awaitable):
        answer = await answer
    assert answer is None or isinstance(answer, Accept | Adjust | Defer | Discard | Reject)
    return answer


def shown(answer: Answer | None) -> str:
    """An answer in a few words: `reject 5.7.1`, `defer 4.7.1`, `tag helo:own`, or nothing."""
    match answer:
        case Reject(reply=reply) | Defer(reply=reply):
            assert reply.code // 100 == (5 if isinstance(answer, Reject) else 4)
            return f"{type(answer).__name__.lower()} {reply.enhanced}"
        case Adjust(tags=tags):
            return f"tag {' '.join(tags)}"
        case Struct():
            return type(answer).__name__.lower()
        case _:
            return ""
