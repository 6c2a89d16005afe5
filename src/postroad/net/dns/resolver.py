"""DNS over the wire: a stub that asks recursive servers, with a cache, and never raises.

Equal questions at one time are asked once. A server that is silent or broken is passed over for the next
one and tried last for a while; a truncated answer is asked again over TCP. Only a server on the loopback
may say that an answer is authentic: the way to any other is open to forgery (RFC 4035 4.9.3, RFC 7672 2.1.1).
"""

import asyncio
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from postroad.model.dns import Answer, DnsStatus
from postroad.model.errors import PeerError
from postroad.model.option import parse_endpoint
from postroad.net.addresses import is_loopback
from postroad.net.clock import Clock
from postroad.net.dns.cache import DnsCache
from postroad.net.dns.codec import FORMAT_ERROR, NOT_IMPLEMENTED, TTL_LIMIT, Reading, encode_question, read_answer
from postroad.net.dns.exchange import Exchange
from postroad.net.dns.system import HostsFile, system_nameservers
from postroad.net.settings import ResolverSettings

ASKING_LIMIT: Final = 512  # questions on the wire at one time; a socket each with a server that is not on this host
WAITING_LIMIT: Final = 20_000  # questions in all; what comes above counts as timed out at once
_SLOW_FOR: Final = 30.0  # seconds that a server which failed to answer is tried last
_RESTARTS: Final = 4  # times a chain of CNAMEs is taken up where an answer broke it off
_NO_EDNS: Final = frozenset({FORMAT_ERROR, NOT_IMPLEMENTED, 16})  # RFC 6891 7 and 6.1.3 (BADVERS)


class Resolver:
    """Asks DNS; implements `postroad.model.dns.Lookup`. To be used on one event loop."""

    def __init__(self, settings: ResolverSettings, clock: Clock, hosts: HostsFile | None = None) -> None:
        """Ask the servers of `settings`, or the system's; `hosts` is /etc/hosts unless given."""
        self._settings = settings
        self._clock = clock
        self._hosts = hosts or HostsFile()
        self._cache = DnsCache(settings.cache_size, settings.negative_ttl)
        self._asked: dict[tuple[str, str], asyncio.Future[Answer | None]] = {}
        self.measured: Callable[[str, DnsStatus, float], None] | None = None  # told of what had to be asked
        self._turns = asyncio.Semaphore(ASKING_LIMIT)
        given = [parse_endpoint(text, default_port=53) for text in settings.nameservers]
        self._servers = [
            _Server(Exchange(*endpoint), is_loopback(endpoint[0])) for endpoint in given or system_nameservers()
        ]

    def cached(self, name: str, kind: str) -> Answer | None:
        """The answer if it is known without asking."""
        return self._known(_normal(name), kind)

    async def __call__(self, name: str, kind: str) -> Answer:
        """The records of type `kind` of `name`; a question that nobody answers in time is TIMED_OUT."""
        name = _normal(name)
        while True:
            answer = self._known(name, kind)
            if answer is not None:
                return answer
            asked = self._asked.get((name, kind))
            if asked is None:
                return await self._lead(name, kind)
            # Shielded: who gives up waiting must not take the answer from the others.
            shared = await asyncio.shield(asked)
            if shared is not None:
                return shared

    def close(self) -> None:
        """Give up the sockets; questions on the wire end as timed out."""
        for server in self._servers:
            server.exchange.close()

    def _known(self, name: str, kind: str) -> Answer | None:
        now = self._clock.monotonic()
        return self._hosts.answer(name, kind, now) or self._cache.get(name, kind, now)

    async def _lead(self, name: str, kind: str) -> Answer:
        """Ask on behalf of everybody who asks the same meanwhile."""
        if len(self._asked) >= WAITING_LIMIT:
            return Answer(DnsStatus.TIMED_OUT)
        shared: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._asked[name, kind] = shared
        answer = None
        began = self._clock.monotonic()
        try:
            answer = await self._ask_in_turn(name, kind)
            ended = self._clock.monotonic()
            self._cache.put(name, kind, answer, ended)
            if self.measured is not None:
                self.measured(kind, answer.status, ended - began)
            return answer
        finally:
            del self._asked[name, kind]
            shared.set_result(answer)  # None when we were cancelled: another one will lead

    async def _ask_in_turn(self, name: str, kind: str) -> Answer:
        settings = self._settings
        try:
            # Twice the tries: the first may go by waiting for a turn, or by asking again over TCP.
            async with asyncio.timeout(2 * settings.attempts * settings.timeout), self._turns:
                return await self._ask_chain(name, kind)
        except TimeoutError:
            return Answer(DnsStatus.TIMED_OUT)

    async def _ask_chain(self, name: str, kind: str) -> Answer:
        """Ask, and ask on where a server gave CNAMEs without what is behind them."""
        at, ttl, authentic = name, TTL_LIMIT, True
        for _ in range(_RESTARTS):
            reading = await self._ask(at, kind)
            answer = reading.answer
            if at != name:
                ttl, authentic = min(ttl, answer.ttl), authentic and answer.authentic
                answer = Answer(answer.status, answer.records, ttl, authentic, answer.canonical)
            if not reading.unproven:
                return answer
            at, ttl, authentic = reading.unproven, answer.ttl, answer.authentic
        return Answer(DnsStatus.FAILED)

    async def _ask(self, name: str, kind: str) -> Reading:
        """Ask one server after the other until one gives an answer that stands."""
        try:
            encode_question(0, name, kind)
        except ValueError:  # a name that cannot exist does not
            return Reading(0, truncated=False, answer=Answer(DnsStatus.NO_NAME, (), 300))
        refused: set[int] = set()
        status = DnsStatus.TIMED_OUT
        for _ in range(self._settings.attempts):
            at = self._next_server(refused)
            if at is None:
                break
            server = self._servers[at]
            try:
                reading = await self._ask_server(server, name, kind)
            except TimeoutError:
                server.slow_until = self._clock.monotonic() + _SLOW_FOR
                continue
            except PeerError:
                server.slow_until = self._clock.monotonic() + _SLOW_FOR
                refused.add(at)
                status = DnsStatus.UNREACHABLE if status is not DnsStatus.FAILED else status
                continue
            if reading.answer.status is not DnsStatus.FAILED:
                return reading
            refused.add(at)  # it will say the same again; another server may know better
            status = DnsStatus.FAILED
        return Reading(0, truncated=False, answer=Answer(status))

    def _next_server(self, refused: set[int]) -> int | None:
        """The first server in order that is not known to be slow, else the one whose penalty ends first."""
        now = self._clock.monotonic()
        left = [at for at in range(len(self._servers)) if at not in refused]
        return min(left, key=lambda at: max(self._servers[at].slow_until, now), default=None)

    async def _ask_server(self, server: "_Server", name: str, kind: str) -> Reading:
        """One server's answer; TimeoutError when there is none, PeerError when there cannot be one."""
        timeout = self._settings.timeout
        exchange = server.exchange
        question = exchange.question(name, kind, edns=server.takes_edns)
        reading = await exchange.over_udp(question, kind, timeout)
        if reading.rcode in _NO_EDNS and server.takes_edns:
            question = exchange.question(name, kind, edns=False)
            reading = await exchange.over_udp(question, kind, timeout)
            server.takes_edns = reading.rcode in _NO_EDNS  # it was not EDNS that it disliked
        if reading.truncated:
            reading = await _over_tcp(exchange, question, kind, timeout)
        if reading.answer.authentic and not server.is_trusted:
            plain = reading.answer
            answer = Answer(plain.status, plain.records, plain.ttl, authentic=False, canonical=plain.canonical)
            return Reading(reading.rcode, reading.truncated, answer, reading.unproven)
        return reading


class _Server(Struct):
    exchange: Exchange
    is_trusted: bool
    takes_edns: bool = True
    slow_until: float = 0.0


async def _over_tcp(exchange: Exchange, question: bytes, kind: str, timeout: float) -> Reading:
    """The whole answer; FAILED from a server that spoke over UDP but cannot give it (RFC 7766 5)."""
    try:
        return read_answer(await exchange.over_tcp(question, timeout), question, kind)
    except (PeerError, ValueError):
        return Reading(0, truncated=False, answer=Answer(DnsStatus.FAILED))


def _normal(name: str) -> str:
    return name.lower().removesuffix(".")
