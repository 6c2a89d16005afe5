"""The MTA-STS policies of domains: fetched when mail first goes there, kept in the store, refreshed behind its back.

The first message of a domain waits a few seconds for the policy, and goes without one when there is none by then; all
later ones take what is kept. What fails leaves the policy that holds in force, and is tried again after five minutes at
the earliest (RFC 8461 3.3, RFC 8461 5.1). So many fetches run at a time, of so many domains that have no policy it is
remembered for a while.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from postroad.model.dns import DnsStatus, Lookup
from postroad.model.errors import SpoolError
from postroad.model.outcome import Deferred
from postroad.model.records import Emit, SpoolFaulted, TlsPolicyNotFetched
from postroad.model.security import Security, TlsObserver, TlsOutcome
from postroad.model.sts import FETCH_ERROR, INVALID, NO_POLICY, UNTRUSTED, StsFault, StsKept, StsPolicy
from postroad.net.clock import Clock
from postroad.net.http.fetching import Answer
from postroad.routing.mtasts import (
    BACK_OFF,
    demand,
    holds,
    is_backed_off,
    names_host,
    next_refresh,
    parse_policy,
    parse_records,
    wants_fetch,
    wants_look,
)

T = TypeVar("T")
FIRST_WAIT: Final = 10.0  # seconds that a message waits for the first policy of a domain
FETCHES: Final = 20  # at a time; those beyond wait in line
WAITING: Final = 1000  # domains in line: beyond, mail goes as if there were no policy
ABSENT: Final = 20_000  # domains remembered to have none
SWEEP_EVERY: Final = 60.0  # seconds between two looks for what should be refreshed
_SWEPT: Final = 200  # domains in one sweep
_SECOND: Final = 1_000_000
_OK: Final = 200
_TEXT: Final = "text/plain"


class GetPage(Protocol):
    """GET over HTTPS: certificate checked, no redirects, bounded in size and time; never raises."""

    async def __call__(self, url: str) -> Answer:
        """What is at `url`."""


class Keeping(Protocol):
    """Where policies are kept (store/stspolicies.py); SpoolError when that fails."""

    def get(self, domain: str) -> StsKept | None:
        """What is kept of `domain`."""

    def put(self, kept: StsKept) -> None:
        """Keep it."""

    def forget(self, domain: str) -> None:
        """Keep nothing of `domain`."""

    def all(self) -> list[StsKept]:
        """Everything."""


class StsState(Struct, frozen=True):
    """What is known of a domain's policy, for people: times in microseconds since 1970, `age` in seconds."""

    domain: str
    id: str
    mode: str
    mx: tuple[str, ...]
    age: int
    expires: int
    next_refresh: int
    fault: str


class StsPolicies:
    """Answers for all domains; used on one event loop."""

    def __init__(  # noqa: PLR0913  the composition root passes the parts by name
        self,
        lookup: Lookup,
        get: GetPage,
        store: Keeping,
        *,
        clock: Clock,
        emit: Emit,
        observe: TlsObserver | None = None,
        port: int = 443,
        first_wait: float = FIRST_WAIT,
    ) -> None:
        """`observe` hears of policies that cannot be had; `port` is another one where tests listen."""
        self._lookup = lookup
        self._get = get
        self._store = store
        self._clock = clock
        self._emit = emit
        self._observe = observe
        self._port = "" if port == 443 else f":{port}"
        self._first_wait = first_wait
        self._known: dict[str, StsKept] = {}
        self._absent: dict[str, tuple[int, str]] = {}  # no policy, until then, and what was wrong with it
        self._looking: dict[str, asyncio.Task[None]] = {}
        self._fetching = asyncio.Semaphore(FETCHES)
        self._told = ""
        self._refreshing: asyncio.Task[None] | None = None

    async def of(self, domain: str) -> StsKept | None:
        """The policy of `domain` that is in force now."""
        domain = domain.lower().removesuffix(".")
        now = self._clock.now()
        if self._refreshing is None:  # nobody pays for it before mail first asks
            self._refreshing = asyncio.create_task(self._refresh())
        kept = self._recall(domain, now)
        if kept is not None:
            if wants_look(kept, now):
                self._look(domain)
            return kept
        until, _ = self._absent.get(domain, (0, ""))
        if now < until:
            return None
        task = self._look(domain)
        if task is None:
            return None
        await self._wait(task)
        return self._recall(domain, self._clock.now())

    async def find(self, domain: str, host: str, port: int, *, authentic: bool) -> Security | Deferred | None:  # noqa: ARG002  as all finders are asked
        """What mail for `domain` must have on its way to `host` (routing/securing.py)."""
        if domain.startswith("[") or ":" in domain or domain.replace(".", "").isdigit():
            return None
        kept = await self.of(domain)
        if kept is None:
            return None
        found = demand(kept, host)
        if self._observe is not None and found is not None and not names_host(kept.policy, host):
            words = f"the policy does not name {host}"
            self._observe(TlsOutcome(domain, host, "sts", kept.policy.lines, "validation-failure", words=words))
        return found

    def state(self, domain: str) -> StsState | None:
        """What is known of the policy of `domain`, without asking anybody."""
        now = self._clock.now()
        kept = self._recall(domain.lower().removesuffix("."), now)
        if kept is None:
            return None
        policy, age = kept.policy, max(0, now - kept.fetched) // _SECOND
        return StsState(kept.domain, kept.id, policy.mode, policy.mx, age, kept.expires, next_refresh(kept), kept.fault)

    def is_absent(self, domain: str) -> bool:
        """True when DNS said a while ago that `domain` has no policy; else nobody has asked, or it has one."""
        domain = domain.lower().removesuffix(".")
        return self._clock.now() < self._absent.get(domain, (0, ""))[0]

    def fault(self, domain: str) -> str:
        """Why the policy that `domain` has could not be had, when that is so."""
        return self._absent.get(domain.lower().removesuffix("."), (0, ""))[1]

    async def sweep(self) -> None:
        """Look at what should be refreshed now, and forget what holds no more."""
        now = self._clock.now()
        kept = self._all()
        for one in kept:
            if not holds(one, now):
                self._known.pop(one.domain, None)
                self._try(partial(self._store.forget, one.domain))
        due = [one for one in kept if holds(one, now) and now >= next_refresh(one) and not is_backed_off(one, now)]
        tasks = [self._look(one.domain) for one in due[:_SWEPT]]
        await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)

    async def close(self) -> None:
        """Stop looking."""
        tasks = list(self._looking.values())
        if self._refreshing is not None:
            tasks.append(self._refreshing)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- what is known -------------------------------------------------------------------------

    def _recall(self, domain: str, now: int) -> StsKept | None:
        kept = self._known.get(domain)
        if kept is None and domain not in self._absent:
            kept = self._try(lambda: self._store.get(domain))
            if kept is not None:
                self._remember(kept)
        if kept is None or not holds(kept, now):
            return None
        return kept

    def _all(self) -> list[StsKept]:
        found = self._try(self._store.all)
        return list(self._known.values()) if found is None else found

    def _remember(self, kept: StsKept) -> None:
        if len(self._known) >= ABSENT:
            self._known.clear()  # the store has them
        self._known[kept.domain] = kept
        self._absent.pop(kept.domain, None)

    def _keep(self, kept: StsKept) -> None:
        self._remember(kept)
        self._try(lambda: self._store.put(kept))

    def _lacks(self, domain: str, until: int, fault: str = "") -> None:
        if len(self._absent) >= ABSENT:
            self._absent.clear()
        self._absent[domain] = (until, fault)

    def _try(self, work: Callable[[], T]) -> T | None:
        try:
            return work()
        except SpoolError as error:
            if str(error) != self._told:
                self._told = str(error)
                self._emit(SpoolFaulted(at=self._clock.now(), reason=str(error)))
            return None

    async def _refresh(self) -> None:
        """Keep policies from expiring, until cancelled (RFC 8461 10.2)."""
        while True:
            await self._clock.sleep(SWEEP_EVERY)
            await self.sweep()

    # -- looking -------------------------------------------------------------------------------

    def _look(self, domain: str) -> "asyncio.Task[None] | None":
        task = self._looking.get(domain)
        if task is None:
            if len(self._looking) >= WAITING:
                return None
            task = self._looking[domain] = asyncio.create_task(self._renew(domain))
            task.add_done_callback(lambda _: self._looking.pop(domain, None))
        return task

    async def _wait(self, task: "asyncio.Task[None]") -> None:
        """Until it is done, or for as long as a message may wait; it goes on all the same."""
        timer = self._clock.call_later(self._first_wait, (over := asyncio.Event()).set)
        late = asyncio.create_task(over.wait())
        try:
            await asyncio.wait((task, late), return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            late.cancel()

    async def _renew(self, domain: str) -> None:
        """Ask for the record, and fetch the policy if need be."""
        async with self._fetching:
            answer = await self._lookup(f"_mta-sts.{domain}", "TXT")
            now = self._clock.now()
            kept = self._recall(domain, now)
            texts = [record for record in answer.records if isinstance(record, str)]
            record = parse_records(texts) if answer.status is DnsStatus.FOUND else None
            if kept is None:
                if record is None:
                    seconds = BACK_OFF if answer.is_temporary else min(max(answer.ttl, BACK_OFF), 3600.0)
                    self._lacks(domain, now + round(seconds * _SECOND))
                    return
                await self._first(domain, record)
            elif wants_fetch(kept, record, now):
                await self._again(kept, record or kept.id)
            else:
                self._keep(replace(kept, looked=now))

    async def _first(self, domain: str, record: str) -> None:
        fetched = await self._fetch(domain)
        now = self._clock.now()
        if isinstance(fetched, StsFault):
            self._failed(domain, fetched, is_kept=False)
            self._lacks(domain, now + round(BACK_OFF * _SECOND), fetched.words)
        else:
            self._keep(StsKept(domain, record, fetched, now, now, now))

    async def _again(self, kept: StsKept, record: str) -> None:
        fetched = await self._fetch(kept.domain)
        now = self._clock.now()
        if isinstance(fetched, StsFault):
            if kept.policy.mode != NO_POLICY:  # nothing is lost where it asks for nothing (RFC 8461 3.3, 6)
                self._failed(kept.domain, fetched, is_kept=True)
            self._keep(replace(kept, looked=now, tried=now, fault=fetched.words))
        else:
            self._keep(StsKept(kept.domain, record, fetched, now, now, now))

    def _failed(self, domain: str, fault: StsFault, *, is_kept: bool) -> None:
        self._emit(TlsPolicyNotFetched(at=self._clock.now(), domain=domain, reason=fault.words, is_kept=is_kept))
        if self._observe is not None:
            self._observe(TlsOutcome(domain, "", "sts", (), fault.result, words=fault.words))

    async def _fetch(self, domain: str) -> StsPolicy | StsFault:
        answer = await self._get(f"https://mta-sts.{domain}{self._port}/.well-known/mta-sts.txt")
        if answer.status != _OK:
            return StsFault(UNTRUSTED if answer.untrusted else FETCH_ERROR, f"the policy cannot be fetched: {answer}")
        kind = answer.content_type.partition(";")[0].strip().lower()
        if kind != _TEXT:
            return StsFault(INVALID, f"the policy is of type {kind[:60] or '(none)'}, not {_TEXT}")
        return parse_policy(answer.body)
