"""Keeps the certificate by ACME fresh: looks when it is due, orders it in a thread, keeps what comes, tells what fails.

One process of a server does it, that which has the queue; all others find the new file as they find any
(`net/tls/certificates`). Invariant: whatever goes wrong, what is in force stays, and it is tried again, but never
sooner than the pauses of `model/renewal` allow, also over restarts.
"""

import asyncio
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Event
from typing import Final

from postroad.config.checks.acme import CLIENT
from postroad.model.acme import Wanted
from postroad.model.errors import AcmeError, ConfigError, PostroadError
from postroad.model.records import CertificateNotObtained, CertificateObtained, Emit
from postroad.model.renewal import DAY, SECOND, SUGGESTION_EVERY, Life, RenewalState, due_at, failed, planned
from postroad.net.acme.challenges import Challenges
from postroad.net.acme.ordering import ORDER_SECONDS, QUERY_SECONDS, AcmeClient, Pace
from postroad.net.apart import apart
from postroad.net.clock import Clock
from postroad.net.tls.certfacts import life_of
from postroad.net.tls.keyfiles import READ_FACTS, KeyFiles, KeyStore
from postroad.store.acme import CERTIFICATE, AcmeFolder

LONGEST_SLEEP: Final = 3600.0  # seconds: the wall clock may be set meanwhile
_AFTER: Final = 1.0


class Renewing:
    """Of one server; `spread` gives numbers from 0 to 1."""

    def __init__(
        self,
        wanted: Wanted,
        renew_before: float,
        folder: AcmeFolder,
        around: tuple[Clock, Emit],
        spread: Callable[[], float],
    ) -> None:
        """Nothing happens before `start`."""
        self.shown = Challenges()
        self._wanted = wanted
        self._renew_before = renew_before
        self._folder = folder
        self._clock, self._emit = around
        self._spread = spread
        self._stop = Event()
        self._wake = asyncio.Event()
        self._is_asked = False
        self._state: RenewalState | None = None  # read once: what is kept of it may be older, should the disk refuse
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End; an order that is under way is given up."""
        self._stop.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def adopt(self, wanted: Wanted, renew_before: float) -> None:
        """Go on with other wishes; an order that is under way is carried out."""
        self._wanted, self._renew_before = wanted, renew_before
        self._wake.set()

    def renew(self) -> None:
        """Somebody wants a new certificate now."""
        self._is_asked = True
        self._wake.set()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            seconds = await self.turn()
            sleeping = asyncio.ensure_future(self._clock.sleep(min(max(seconds, _AFTER), LONGEST_SLEEP)))
            waking = asyncio.ensure_future(self._wake.wait())
            try:
                await asyncio.wait((sleeping, waking), return_when=asyncio.FIRST_COMPLETED)
            finally:
                sleeping.cancel()
                waking.cancel()

    async def turn(self) -> float:
        """Do what is due; in how many seconds to look again."""
        now, wanted = self._clock.now(), self._wanted
        life = await asyncio.to_thread(self._life)
        if self._state is None:
            self._state = await asyncio.to_thread(self._folder.state)
        state = planned(self._state, wanted.plan)
        due = due_at(life, wanted.names, self._renew_before, state)
        if self._is_asked or due <= now:
            self._is_asked = False
            state = await self._order(wanted, life, state)
            life = await asyncio.to_thread(self._life)
        elif life is not None and state.ask <= now < life.expires:
            state = await self._ask(wanted, state)
        due = due_at(life, wanted.names, self._renew_before, state)
        return (min(due, state.ask or due) - self._clock.now()) / SECOND

    def _life(self) -> Life | None:
        """Of what is there and sound, its key too: all else is as good as nothing."""
        file = self._folder.path / CERTIFICATE
        with suppress(ConfigError):
            return life_of(KeyStore().read(KeyFiles(file, file)).facts)
        return None

    def _client(self, wanted: Wanted, seconds: float) -> AcmeClient:
        """For use in a thread."""
        folder = self._folder
        keep = partial(folder.keep_account, wanted.directory)
        pace = Pace(self._clock, self._stop, seconds)
        return CLIENT.load()(wanted, folder.account(wanted.directory), keep, self.shown, pace)

    # -- an order ----------------------------------------------------------------------------------

    async def _order(self, wanted: Wanted, life: Life | None, state: RenewalState) -> RenewalState:
        began = self._clock.monotonic()

        def work() -> bytes:
            pem = self._client(wanted, ORDER_SECONDS).obtain()
            self._folder.keep_certificate(pem)
            return pem

        wish = 0.0
        try:
            pem = await apart("acme", work)
        except PostroadError as error:
            reason = str(error)
            wish = error.wish if isinstance(error, AcmeError) else 0.0
        except Exception:  # noqa: BLE001  seam: a bug of ours or of the library must not end all renewals
            reason = f"internal error: {traceback.format_exc(limit=-3)}"
        else:
            now = self._clock.now()
            state = RenewalState(wanted.plan, tried=now, ask=now + SUGGESTION_EVERY)
            await self._keep(state)
            expires = READ_FACTS.load()(pem).expires
            seconds = round(self._clock.monotonic() - began, 3)
            self._emit(
                CertificateObtained(
                    at=now, directory=wanted.directory, names=wanted.names, expires=expires, seconds=seconds
                )
            )
            return state
        now = self._clock.now()
        state = failed(state, now, reason, wish=wish, spread=self._spread())
        await self._keep(state)
        days = -1 if life is None else max(0, (life.expires - now) // DAY)
        self._emit(
            CertificateNotObtained(
                at=now,
                directory=wanted.directory,
                names=wanted.names,
                reason=reason,
                failures=state.failures,
                next=state.next,
                days=days,
            )
        )
        return state

    async def _ask(self, wanted: Wanted, state: RenewalState) -> RenewalState:
        """When would the CA have it renewed? That it does not say so now is no failure."""

        def work() -> tuple[int, float]:
            return self._client(wanted, QUERY_SECONDS).suggestion(self._folder.certificate())

        now, suggested, seconds = self._clock.now(), state.suggested, 0.0
        with suppress(Exception):  # a seam as that of an order
            suggested, seconds = await apart("acme", work)
        ask = now + max(SUGGESTION_EVERY, min(round(seconds * SECOND), DAY))
        state = RenewalState(
            state.plan, state.failures, state.tried, state.next, state.reason, suggested=suggested, ask=ask
        )
        await self._keep(state)
        return state

    async def _keep(self, state: RenewalState) -> None:
        self._state = state
        with suppress(PostroadError):  # a disk that is full is told by others, at the latest by the next order
            await asyncio.to_thread(self._folder.keep_state, state)
