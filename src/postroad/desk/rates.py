"""What is used up of `[[rates]]`, for people: whose accounts they are and how full, and beginning some of them anew.

An account belongs to a login when that is a part of its name. Who begins one anew is written down.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from heapq import nlargest
from typing import Final, Protocol

from msgspec import Struct

from postroad.desk.protocol import RateNow, RatesAsked
from postroad.model.counts import Cap, Kept, account_of
from postroad.model.records import Emit, OperatorActed
from postroad.net.clock import Clock
from postroad.policy.rates.choice import Choice

MOST: Final = 1000  # rows of one answer


class Accounts(Protocol):
    """Where they are."""

    def accounts(self, caps: Mapping[str, Cap]) -> AsyncIterator[Kept]:
        """Every account in which something counts; `caps` are those in force, by rate and label."""

    def forget(self, wanted: Callable[[str], bool]) -> Awaitable[int]:
        """Begin those anew that are wanted by name; how many those were."""


class InForce(Struct, frozen=True):
    """The rates of the configuration in force, and where they are counted."""

    choices: Sequence[Choice]
    accounts: Accounts


class RateDesk:
    """Answers what is asked about them."""

    def __init__(self, in_force: Callable[[], InForce], clock: Clock, emit: Emit) -> None:
        """A reload changes what `in_force` gives."""
        self._in_force = in_force
        self._clock = clock
        self._emit = emit

    async def now(self, asked: RatesAsked) -> tuple[RateNow, ...]:
        """The fullest accounts of those that are asked for, at most `asked.most`."""
        in_force = self._in_force()
        known = {choice.name: choice for choice in in_force.choices}
        rows = list[tuple[float, RateNow]]()
        most = min(max(asked.most, 1), MOST)
        caps = {account_of(one.name, cap.label, ""): cap for one in in_force.choices for cap in one.caps}
        async for kept in in_force.accounts.accounts(caps):
            if not _fits(asked, known, kept.account):
                continue
            name, label, account = kept.account.split("\n", 2)
            choice = known.get(name)
            cap = caps.get(account_of(name, label, ""))
            count, used = kept.count if cap is None else cap.count, kept.used
            if not used or not count:
                continue
            counted = "" if choice is None else choice.count
            per = () if choice is None else choice.settings.per
            row = RateNow(name, counted, account, used, count, label, tuple(per))
            rows.append((used / count, row))
            if len(rows) > 8 * most:
                rows = nlargest(most, rows, key=_fullness)
        return tuple(row for _, row in nlargest(most, rows, key=_fullness))

    async def reset(self, asked: RatesAsked, by: str, uid: int) -> int:
        """Begin accounts anew; how many those were."""
        if not (asked.rate or asked.login or asked.account):
            raise ValueError("say which: a rate, a login or an account")
        in_force = self._in_force()
        known = {choice.name: choice for choice in in_force.choices}
        count = await in_force.accounts.forget(lambda account: _fits(asked, known, account))
        words = (("rate", asked.rate), ("login", asked.login), ("account", asked.account))
        selection = " ".join(f"{word} {text}" for word, text in words if text)
        self._emit(
            OperatorActed(
                at=self._clock.now(),
                action="reset",
                by=by,
                uid=uid,
                selection=f"rates {selection}: {count} accounts",
                reason=asked.reason,
            )
        )
        return count


def _fullness(row: tuple[float, RateNow]) -> float:
    return row[0]


def _fits(asked: RatesAsked, known: Mapping[str, Choice], text: str) -> bool:
    name, label, account = (*text.split("\n", 2), "", "")[:3]
    if not label or (asked.rate and asked.rate != name):
        return False
    if asked.account and asked.account.casefold() != account.casefold():
        return False
    if not asked.login:
        return True
    choice = known.get(name)
    per = () if choice is None else choice.settings.per
    parts = account.split(" ", len(per) - 1) if per else []
    return any(
        part == "login" and at < len(parts) and parts[at] == asked.login.casefold() for at, part in enumerate(per)
    )
