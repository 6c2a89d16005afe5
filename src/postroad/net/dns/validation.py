"""Does the resolver validate: it is asked for what is signed, and for what is signed wrongly, before DANE counts.

A resolver can set the bit that says "authentic" without having looked, or hand on what it was told from afar. So each
server has to be on this host, to call a signed name authentic, and to give no answer about a wrongly signed one where
one is configured (RFC 4035 4.9.3, RFC 7672 2.1.1). All of them: one that does not validate would be asked just when the
others refuse a forgery. What is known holds for a while; a server that does not answer proves nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from msgspec import Struct

from postroad.model.dns import DnsStatus, Lookup
from postroad.model.option import parse_endpoint
from postroad.model.records import Emit, ValidationProved, ValidationRefuted
from postroad.net.addresses import is_loopback
from postroad.net.clock import Clock
from postroad.net.dns.resolver import Resolver
from postroad.net.dns.system import system_nameservers
from postroad.net.settings import ResolverSettings

HOLDS: Final = 1800.0  # seconds until it is asked again
AGAIN: Final = 60.0  # where nothing is proved yet, or it was refuted: who mends it does not want to wait


class Proof(Struct, frozen=True):
    """`validates` is None where nothing could be found out; `words` say why for people."""

    validates: bool | None
    words: str


async def prove(server: str, lookup: Lookup, settings: ResolverSettings) -> Proof:
    """Whether `server` validates, which `lookup` asks and nobody else."""
    if not is_loopback(parse_endpoint(server, default_port=53)[0]):
        return Proof(False, f"{server} is not on this host, and what it says can be forged on the way")
    signed, bogus = settings.signed_name, settings.bogus_name
    answer = await lookup(signed, "SOA")
    if answer.is_temporary:
        return Proof(None, f"{server} does not answer for {signed}: {answer.status.value}")
    if not answer.authentic:
        return Proof(False, f"{server} does not call {signed} authentic, though it is signed")
    if bogus:
        answer = await lookup(bogus, "SOA")
        if not answer.is_temporary:
            return Proof(False, f"{server} answers for {bogus}, which is not signed as it should be")
        if answer.status is not DnsStatus.FAILED:
            return Proof(None, f"{server} does not answer for {bogus}: {answer.status.value}")
    return Proof(True, f"{server} validates")


def conclusion(proofs: Sequence[Proof]) -> Proof:
    """What the proofs of all servers come to."""
    for validates in (False, True):
        words = [proof.words for proof in proofs if proof.validates is validates]
        if words:
            return Proof(validates, "; ".join(words))
    return Proof(None, "; ".join(proof.words for proof in proofs))


async def prove_all(settings: ResolverSettings, clock: Clock) -> Proof:
    """Whether all servers of `settings` validate; each is asked apart from the others, over the network."""
    servers = settings.nameservers or tuple(_written(*one) for one in system_nameservers())
    proofs = []
    for server in servers:
        alone = settings.model_copy(update={"nameservers": (server,), "cache_size": 0})
        resolver = Resolver(alone, clock)
        try:
            proofs.append(await prove(server, resolver, settings))
        finally:
            resolver.close()
    return conclusion(proofs)


class Validation:
    """Whether what DNS calls authentic is; asked by `routing.dane` for as long as it likes to know."""

    __slots__ = ("_again_at", "_clock", "_emit", "_is_told", "_lock", "_prepare", "_prove", "_validates")

    def __init__(
        self,
        prove_it: Callable[[], Awaitable[Proof]],
        clock: Clock,
        *,
        emit: Emit | None = None,
        prepare: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`prove_it` finds out; what changes is told by `emit`; `prepare` is called when DANE begins to count."""
        self._prove = prove_it
        self._clock = clock
        self._emit = emit
        self._prepare = prepare
        self._lock = asyncio.Lock()
        self._again_at = clock.monotonic()
        self._validates: bool | None = None
        self._is_told: bool | None = None

    async def __call__(self) -> bool:
        """False once it is proved that the resolver does not validate.

        While nothing could be found out, what it calls authentic is taken to be: to suppress the proof must gain
        nobody anything.
        """
        if self._clock.monotonic() >= self._again_at:
            async with self._lock:
                if self._clock.monotonic() >= self._again_at:
                    await self._find_out()
        return self._validates is not False

    async def is_proved(self) -> bool:
        """True only while it is proved that it does: for who would trust somebody because of it."""
        await self()
        return self._validates is True

    async def _find_out(self) -> None:
        proof = await self._prove()
        if proof.validates is not False and self._prepare is not None:
            await self._prepare()
        if proof.validates is not None:
            self._validates = proof.validates
        self._again_at = self._clock.monotonic() + (HOLDS if proof.validates else AGAIN)
        if proof.validates is None or proof.validates is self._is_told or self._emit is None:
            return
        self._is_told = proof.validates
        at = self._clock.now()
        told = ValidationProved if proof.validates else ValidationRefuted
        self._emit(told(at=at, reason=proof.words))


def _written(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
