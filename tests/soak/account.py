"""What the notes of both ends come to. Pure: notes, deaths and settled deliveries in, faults and counts out.

Three promises are checked. What got its 250 has arrived, every recipient of it, octet for octet. Nothing arrived that
was refused, or cut before its end. What came more than once did so because the reply to an earlier delivery was lost:
on the way, with the next hop, or with the relay before it was settled; and never after it was settled.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tests.soak.plan import DONE_TIMEOUT
from tests.soak.wire import REFUSED_LOCAL_PART

WITH_THE_REPLY: Final = 1.0  # seconds: the kernel had the reply of a sink that died this soon after
UNSETTLED: Final = 2.0  # seconds: what a relay that was killed had not made durable yet is not older
SLACK: Final = 1.0
DYING: Final = 0.2  # seconds that a death may come later than it was noted
TIMER_SLACK: Final = 0.1  # both ends begin to count at slightly different instants
FULL_SLACK: Final = 15.0  # seconds after there is room again in which a relay may still refuse
SHOWN: Final = 10

Key = tuple[str, str]  # number of the message, recipient


class Arrival(NamedTuple):
    """One delivery of one recipient: when taken, under which queue id, by which sink, when replied (0: never)."""

    at: float
    id: str
    sink: str
    replied: float = 0.0


class Accepted(NamedTuple):
    """What a 250 promised."""

    id: str
    recipients: tuple[str, ...]


@dataclass
class Sent:
    """What the clients noted."""

    finished: set[str] = field(default_factory=set)
    accepted: dict[str, Accepted] = field(default_factory=dict)
    refused: dict[str, tuple[float, str]] = field(default_factory=dict)
    unknown: Counter[str] = field(default_factory=Counter)
    unanswered: list[str] = field(default_factory=list)

    def read(self, notes: Iterable[str]) -> None:
        """Take the notes of one client process."""
        for line in notes:
            at, kind, number, *rest = line.split()
            if kind == "D":
                self.finished.add(number)
            elif kind == "A":
                self.accepted[number] = Accepted(rest[0], tuple(rest[1:]))
            elif kind == "X":
                self.refused[number] = (float(at), " ".join(rest))
            else:
                self.unknown[rest[0]] += 1
                if rest[0] == "TimeoutError":
                    self.unanswered.append(number)


@dataclass
class Taken:
    """What the sinks noted; `again` holds every delivery of what came more than once."""

    first: dict[Key, Arrival] = field(default_factory=dict)
    again: dict[Key, list[Arrival]] = field(default_factory=dict)
    reports: dict[str, list[Arrival]] = field(default_factory=dict)
    mangled: list[str] = field(default_factory=list)

    def read(self, sink: str, notes: Iterable[str]) -> None:
        """Take the notes of one sink, all its lives."""
        for line in notes:
            at, kind, number, *rest = line.split()
            if kind == "T":
                self._take((number, rest[1]), Arrival(float(at), rest[0], sink))
            elif kind == "B":
                self.reports.setdefault(number, []).append(Arrival(float(at), rest[0], sink))
            elif kind == "R":
                self._replied((number, rest[0]), float(at), sink)
            elif kind == "M":
                self.mangled.append(f"{number} {' '.join(rest)}")

    def _take(self, key: Key, arrival: Arrival) -> None:
        if key not in self.first:
            self.first[key] = arrival
        else:
            self.again.setdefault(key, [self.first[key]]).append(arrival)

    def _replied(self, key: Key, at: float, sink: str) -> None:
        several = self.again.get(key)
        if several is not None:
            index = max((n for n, one in enumerate(several) if one.sink == sink), default=-1)
            if index >= 0:
                several[index] = several[index]._replace(replied=at)
        elif key in self.first:
            self.first[key] = self.first[key]._replace(replied=at)

    def doubled(self) -> Iterator[tuple[Key, list[Arrival]]]:
        """What came more than once, deliveries in order of time."""
        for key, arrivals in self.again.items():
            yield key, sorted(arrivals)


@dataclass(frozen=True)
class Deaths:
    """What can explain a lost reply: kills of relay and sinks, drains, and when the disk was full."""

    relay: Sequence[float] = ()
    drains: Sequence[tuple[float, float]] = ()
    sinks: Sequence[tuple[float, str]] = ()
    full: tuple[float, float] | None = None


@dataclass
class Verdict:
    """Faults in words, and why what came twice did."""

    faults: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    extra_reports: int = 0


def judge(sent: Sent, taken: Taken, deaths: Deaths, settled: Mapping[Key, Sequence[float]]) -> Verdict:
    """Compare the notes; `settled` has, by queue id and recipient, when the log says that it was delivered."""
    verdict = Verdict()
    _say(verdict, "octets changed on the way", taken.mangled)
    _say(verdict, "accepted, and never arrived", _lost(sent, taken))
    _say(verdict, "arrived without having been sent to its end", _strange(sent, taken))
    _say(verdict, "arrived although it was refused", [n for n, _ in taken.first if n in sent.refused])
    _say(verdict, "arrived under another queue id than the 250 said", _renamed(sent, taken))
    _say(verdict, "refused for no known reason", _unexplained(sent, deaths))
    _say(verdict, "got no reply in a minute, nor an end of the connection", sent.unanswered)
    unexplained = []
    for key, arrivals in taken.doubled():
        for arrival, following in itertools.pairwise(arrivals):
            reason = _reason(arrival, following, deaths, settled.get((arrival.id, key[1]), ()))
            if reason.startswith("!"):
                unexplained.append(f"{key[0]} {key[1]} id {arrival.id} at {arrival.at:.3f}: {reason[1:]}")
            else:
                verdict.reasons[reason] += 1
    _say(verdict, "came again without a lost reply", unexplained)
    verdict.extra_reports = sum(len(reports) - 1 for reports in taken.reports.values())
    return verdict


def _say(verdict: Verdict, what: str, found: Sequence[str]) -> None:
    if found:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        verdict.faults.append(f"{len(found)} {what}: {', '.join(found[:SHOWN])}{more}")


def _lost(sent: Sent, taken: Taken) -> list[str]:
    lost = []
    for number, (queue_id, recipients) in sent.accepted.items():
        for recipient in recipients:
            is_refused = recipient.startswith(REFUSED_LOCAL_PART)
            if (number not in taken.reports) if is_refused else ((number, recipient) not in taken.first):
                lost.append(f"{number} {recipient} id {queue_id}")
    return lost


def _strange(sent: Sent, taken: Taken) -> list[str]:
    return [number for number, _ in taken.first if number not in sent.finished]


def _renamed(sent: Sent, taken: Taken) -> list[str]:
    found = [
        f"{number}: {arrival.id}"
        for (number, _), arrival in taken.first.items()
        if number in sent.accepted and sent.accepted[number].id != arrival.id
    ]
    return found + [f"{key[0]}: two ids" for key, arrivals in taken.again.items() if len({a.id for a in arrivals}) > 1]


def _unexplained(sent: Sent, deaths: Deaths) -> list[str]:
    return [f"{number} {text}" for number, (at, text) in sent.refused.items() if not _may_refuse(at, text, deaths)]


def _may_refuse(at: float, text: str, deaths: Deaths) -> bool:
    if text.startswith(("452 4.3.1", "451 4.3.0")):
        return deaths.full is not None and deaths.full[0] - SLACK <= at <= deaths.full[1] + FULL_SLACK
    if text.startswith("421 4.3.2"):
        return any(begin - SLACK <= at <= end + SLACK for begin, end in deaths.drains)
    return False


def _reason(arrival: Arrival, following: Arrival, deaths: Deaths, settled: Sequence[float]) -> str:
    """Why it came again; begins with "!" when it must not have."""
    if any(arrival.at <= at < following.at for at in settled):
        return "!it was settled before"
    if not arrival.replied:
        return "no reply"
    if arrival.replied - arrival.at > DONE_TIMEOUT - TIMER_SLACK:
        return "the reply came after the relay had stopped waiting"
    if any(s == arrival.sink and 0 <= at - arrival.replied <= WITH_THE_REPLY for at, s in deaths.sinks):
        return "next hop died with the reply"
    if any(-DYING <= at - arrival.replied <= UNSETTLED for at in deaths.relay):
        return "relay died before it was settled"
    if deaths.full and any(
        deaths.full[0] <= at <= deaths.full[1] + FULL_SLACK and arrival.replied <= at for at in deaths.relay
    ):
        return "relay died while the full disk took no outcome"
    return "!the reply was sent and nobody died"
