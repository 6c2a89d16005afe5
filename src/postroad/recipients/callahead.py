"""Call-ahead: the next hop is asked by RCPT whether it would take mail for an address, and the answer is remembered.

Bounded in time, in questions under way and in answers kept; the same address is asked about once at a time. A next hop
that says neither yes nor no never makes a no: an old yes holds on, else it is as `when_unclear` says. With the first
question an invented name is asked about too: a next hop that takes it takes anything, is reported, and let alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from msgspec import Struct

from postroad.aliases.table import Found
from postroad.delivery.probing import Replies
from postroad.model.address import Mailbox, parse_mailbox
from postroad.model.errors import TableError
from postroad.model.records import CatchAllFound, Emit, RecipientAsked
from postroad.model.route import Route
from postroad.net.clock import Clock
from postroad.recipients.answer import Meaning, meaning_of
from postroad.recipients.cache import Remembered
from postroad.recipients.settings import ACCEPT, CallAheadSettings

WAITING: Final = 1000  # questions that wait for their turn
DOMAINS: Final = 10_000  # of which it is known whether they take any name
PAUSE: Final = 5.0  # seconds without questions about a domain nobody answered for
EXISTS: Final[Found] = ()  # a table's yes, without addresses


class Way(Struct, frozen=True):
    """Along which route to ask, and for which address: routes may have put another one in place of the recipient."""

    route: Route
    address: Mailbox


PlanHop = Callable[[Mailbox], Awaitable[Way | str]]  # or why nobody can be asked now


class AskHop(Protocol):
    """How a next hop is asked: `delivery.probing.Prober.ask`."""

    async def __call__(self, route: Route, mail: str, recipients: Sequence[str], timeout: float) -> Replies:
        """The replies of the first target that answers."""


class Said(Struct, frozen=True):
    """What an answer means, by whom and in which words."""

    meaning: Meaning
    words: str
    target: str = ""


class CallAhead:
    """A next hop as a table of recipients; it is asked with whole addresses."""

    def __init__(
        self,
        settings: CallAheadSettings,
        *,
        plan: PlanHop,
        ask: AskHop,
        clock: Clock,
        emit: Emit,
        invent: Callable[[], str],
    ) -> None:
        """`invent` makes a local part that nobody has."""
        self._settings = settings
        self._plan = plan
        self._ask = ask
        self._clock = clock
        self._emit = emit
        self._invent = invent
        self._turns = asyncio.Semaphore(settings.questions)
        self._asking: dict[str, asyncio.Task[Said]] = {}
        self._silent: dict[str, tuple[float, Said]] = {}
        self._mail = f"MAIL FROM:<{settings.sender}>"
        self._answers = Remembered(settings.cache_size, known_for=settings.known_for, unknown_for=settings.unknown_for)
        self._catch_all = Remembered(DOMAINS, known_for=settings.known_for, unknown_for=settings.known_for)

    def find(self, text: str) -> Found | Awaitable[Found]:
        """Whether the address `text` exists; at once when that is remembered. TableError: not known now."""
        key = text.lower()
        now = self._clock.monotonic()
        answer = self._answers.get(key, now)
        if answer is None and self._catch_all.get(key.rpartition("@")[2], now):
            answer = True
        if answer is None:
            return self._find_later(key, text)
        return EXISTS if answer else None

    async def close(self) -> None:
        """Ask nothing any more."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    async def _find_later(self, key: str, text: str) -> Found:
        said = await self._said(key, text)
        if said.meaning is Meaning.UNKNOWN:
            return None
        if said.meaning is Meaning.KNOWN or self._answers.was_known(key) or self._settings.when_unclear == ACCEPT:
            return EXISTS
        raise TableError(f"{said.target or 'call-ahead'}: {said.words}")

    async def _said(self, key: str, text: str) -> Said:
        domain = key.rpartition("@")[2]
        silent = self._silent.get(domain)
        if silent is not None and self._clock.monotonic() < silent[0]:
            return silent[1]
        task = self._asking.get(key)
        if task is None:
            if len(self._asking) >= self._settings.questions + WAITING:
                return Said(Meaning.UNCLEAR, "too many questions wait")
            task = self._asking[key] = asyncio.create_task(self._question(key, text, domain))
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(task)  # whoever gives up waiting takes no answer from the others

    async def _question(self, key: str, text: str, domain: str) -> Said:
        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._settings.timeout), self._turns:
                replies = await self._replies(text, domain, self._settings.timeout + began)
        except TimeoutError:
            replies = Replies(None, words=f"no answer within {self._settings.timeout:g}s")
        now = self._clock.monotonic()
        target = "" if replies.target is None else str(replies.target)
        reply = replies.recipients[0] if replies.recipients else None
        said = Said(meaning_of(replies.sender, reply), replies.words or str(reply or replies.sender), target)
        self._emit(
            RecipientAsked(
                at=self._clock.now(),
                recipient=text,
                target=target,
                answer=said.meaning.value,
                reply=said.words,
                seconds=now - began,
            )
        )
        self._learn(key, domain, said, replies, now)
        return said

    async def _replies(self, text: str, domain: str, deadline: float) -> Replies:
        way = await self._plan(parse_mailbox(text))
        if isinstance(way, str):
            return Replies(None, words=way)
        asked = way.address.text
        names = [asked]
        if self._catch_all.get(domain, self._clock.monotonic()) is None:
            names.append(f"{self._invent()}@{asked.rpartition('@')[2]}")
        commands = [f"RCPT TO:<{name}>" for name in names]
        return await self._ask(way.route, self._mail, commands, max(deadline - self._clock.monotonic(), 0.1))

    def _learn(self, key: str, domain: str, said: Said, replies: Replies, now: float) -> None:
        if replies.target is None:
            if len(self._silent) >= DOMAINS:
                self._silent.clear()
            self._silent[domain] = (now + PAUSE, said)
        elif said.meaning is not Meaning.UNCLEAR:
            self._answers.put(key, now, is_known=said.meaning is Meaning.KNOWN)
        if len(replies.recipients) < 2:
            return
        invented = meaning_of(replies.sender, replies.recipients[1])
        if invented is Meaning.KNOWN and said.meaning is Meaning.KNOWN:
            if not self._catch_all.was_known(domain):
                self._emit(CatchAllFound(at=self._clock.now(), domain=domain, target=said.target))
            self._catch_all.put(domain, now, is_known=True)
        elif invented is Meaning.UNKNOWN:
            self._catch_all.put(domain, now, is_known=False)
