"""The certificates of a running server: read at start, read again when they change, swapped whole.

A file that is broken, or half replaced, changes nothing but a record: what was in force stays. Handshakes begin with
what is in force then; whatever runs is not touched. Looking and reading happen in a thread.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from ssl import SSLContext
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from postroad.model.errors import ConfigError
from postroad.model.records import CertificateExpiring, CertificateLoaded, CertificateRefused, Emit, Record
from postroad.net.clock import Clock
from postroad.net.tls.keyfiles import KeyFiles, KeyPair, KeyStore, Stamp, stamp_of
from postroad.net.tls.server import Contexts, Security

LOOK_EVERY: Final = 2.0  # seconds
WARN_EVERY: Final = 86_400_000_000  # microseconds
WARN_DAYS: Final = 14
_DAY: Final = 86_400_000_000

Source = KeyFiles | Path  # a pair, or client authorities
Stamps = tuple[Stamp | None, ...]


class Plan(Struct, frozen=True):
    """How one listener proves itself: `pairs` with the names each is for, the first is the default.

    `security` without the authorities in `client_ca`.
    """

    security: Security
    pairs: tuple[tuple[KeyFiles, tuple[str, ...]], ...]
    client_ca: Path | None = None

    @property
    def sources(self) -> set[Source]:
        """What it is made of."""
        return {*(files for files, _ in self.pairs), *(() if self.client_ca is None else (self.client_ca,))}


class Certificates:
    """Those of one configuration."""

    def __init__(self, plans: Mapping[str, Plan], keys: KeyStore) -> None:
        """Read all that `plans` of listeners name; ConfigError with everything that cannot be used. Slow."""
        self.plans = plans
        self._keys = keys
        self._pairs: dict[KeyFiles, KeyPair] = {}
        self._authorities: dict[Path, str] = {}
        self._loaded: dict[Source, Stamps] = {}  # the version that was read last, sound or not
        self._seen: dict[Source, Stamps] = {}  # at the last look
        problems: list[str] = []
        for source in sorted({source for plan in plans.values() for source in plan.sources}, key=_name):
            try:
                self._read(source, or_kept=True)
            except ConfigError as error:
                problems += error.problems
        if problems:
            raise ConfigError(problems)
        self._held = {name: self._build(plan) for name, plan in plans.items()}
        self._watching: asyncio.Task[None] | None = None
        self._warned = 0

    def contexts(self, listener: str) -> Callable[[], SSLContext]:
        """Gives the context of a handshake to come at `listener`."""
        held = self._held

        def context() -> SSLContext:
            return held[listener].context

        return context

    @property
    def pairs(self) -> list[KeyPair]:
        """Those in force."""
        return list(self._pairs.values())

    # -- files -----------------------------------------------------------------------------------

    def _read(self, source: Source, *, or_kept: bool = False) -> None:
        before = self._loaded.get(source)
        self._loaded[source] = self._seen[source] = _stamps(source)
        if isinstance(source, KeyFiles):
            pair = self._keys.read(source, or_kept=or_kept)
            self._pairs[source] = pair
            self._loaded[source] = pair.stamps
        else:
            self._authorities[source] = self._keys.authorities(source, or_kept=or_kept and before is None)

    def _build(self, plan: Plan) -> Contexts:
        security = plan.security
        if plan.client_ca is not None:
            security = replace(security, authorities=self._authorities[plan.client_ca])
        return Contexts(security, [(self._pairs[files], names) for files, names in plan.pairs])

    def has_changed(self) -> bool:
        """True when a file is another than the one read last."""
        return any(_stamps(source) != loaded for source, loaded in self._loaded.items())

    def look(self, now: int) -> list[Record]:
        """Read what has changed and stayed so since the look before, and use what is sound; what is to be told."""
        records: list[Record] = []
        sound: set[Source] = set()
        for source, loaded in list(self._loaded.items()):
            stamps = _stamps(source)
            is_settled, self._seen[source] = stamps == self._seen[source], stamps
            if stamps == loaded or not is_settled:
                continue
            try:
                self._read(source)
            except ConfigError as error:
                self._loaded[source] = stamps
                records.append(CertificateRefused(at=now, certificate=_name(source), reason=str(error)))
            else:
                sound.add(source)
                records.append(self._told(source, now))
        for name, plan in self.plans.items():
            if sound & plan.sources:
                try:
                    self._held[name] = self._build(plan)
                except ConfigError as error:
                    records.append(CertificateRefused(at=now, certificate=f"listeners.{name}", reason=str(error)))
        return records

    def _told(self, source: Source, now: int) -> Record:
        if not isinstance(source, KeyFiles):
            return CertificateLoaded(at=now, certificate=str(source))
        facts = self._pairs[source].facts
        return CertificateLoaded(
            at=now,
            certificate=str(source.certificate),
            names=facts.names,
            expires=facts.expires,
            fingerprint=facts.fingerprint,
        )

    # -- while the server runs -------------------------------------------------------------------

    def start(self, clock: Clock, emit: Emit) -> None:
        """Tell what is in force, and look after files from now on."""
        if not self.plans:
            return
        self._keys.keep(self._pairs.keys())
        for source in self._loaded:
            emit(self._told(source, clock.now()))
        self._watching = asyncio.create_task(self._watch(clock, emit))

    async def _watch(self, clock: Clock, emit: Emit) -> None:
        while True:
            for warning in self.warnings(clock.now()):
                emit(warning)
            await clock.sleep(LOOK_EVERY)
            for record in await asyncio.to_thread(self.look, clock.now()):
                emit(record)

    def warnings(self, now: int) -> Iterator[Record]:
        """What is to be told of certificates that expire, once a day."""
        if now - self._warned < WARN_EVERY:
            return
        self._warned = now
        for pair in self._pairs.values():
            facts = pair.facts
            if facts.expires - now < WARN_DAYS * _DAY:
                days = max(0, (facts.expires - now) // _DAY)
                file = str(pair.files.certificate)
                yield CertificateExpiring(at=now, certificate=file, names=facts.names, expires=facts.expires, days=days)

    def close(self) -> None:
        """Look after nothing any more; what is in force stays."""
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None


def _name(source: Source) -> str:
    return str(source.certificate if isinstance(source, KeyFiles) else source)


def _stamps(source: Source) -> Stamps:
    return source.stamps() if isinstance(source, KeyFiles) else (stamp_of(source),)
