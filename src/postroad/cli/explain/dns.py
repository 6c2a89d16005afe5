"""What DNS was asked while something was explained, and what it said, in words.

Answers are told as people read them: the best first, hosts with their preference, trouble by its name.
"""

from msgspec import Struct

from postroad.model.dns import Answer, DnsStatus, Lookup, MxRecord, SrvRecord, TlsaRecord


class Question(Struct):
    """One question to DNS and what came back, in words."""

    name: str
    kind: str
    answer: str


class NotingLookup:
    """A look-up that remembers what was asked."""

    def __init__(self, lookup: Lookup) -> None:
        """Ask `lookup`."""
        self._lookup = lookup
        self.questions: list[Question] = []

    async def __call__(self, name: str, kind: str) -> Answer:
        """The answer, noted."""
        answer = await self._lookup(name, kind)
        question = Question(name, kind, answer_text(answer))
        if question not in self.questions:  # those who ask do not know of one another; people read each answer once
            self.questions.append(question)
        return answer


def answer_text(answer: Answer) -> str:
    """An answer in words: "10 mx1.example.com, 20 mx2.example.com", "192.0.2.1", "NXDOMAIN"."""
    if answer.status is not DnsStatus.FOUND:
        return str(answer.status.value)
    return ", ".join(map(_record_text, sorted(answer.records, key=_record_order)))


def _record_order(record: str | MxRecord | SrvRecord | TlsaRecord) -> int:
    match record:
        case MxRecord(preference=number) | SrvRecord(priority=number):
            return number
        case _:
            return 0


def _record_text(record: str | MxRecord | SrvRecord | TlsaRecord) -> str:
    match record:
        case MxRecord(preference=number, exchange=host):
            return f"{number} {host or '. (null MX)'}"
        case SrvRecord(priority=number, weight=weight, port=port, target=host):
            return f"{number} {weight} {host}:{port}" if host else f"{number} {weight} . (not available)"
        case TlsaRecord(usage=usage, selector=selector, matching=matching, data=data):
            return f"{usage} {selector} {matching} {data.hex()}"
        case _:
            return record
