"""Is it an open relay: every classic trick, from sessions that begin cold, as nobody we know.

Each listener is tried in memory with the policies of the configuration, by a peer from an address of documentation
(RFC 5737 3) that no network of ours has; and the running server with the plainest of them, over a connection from an
address of this host that may not relay, where there is one. Nothing after RCPT is sent, so nothing can be delivered.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from ipaddress import ip_address
from itertools import islice
from typing import Final

from postroad.config.schema import Config
from postroad.doctor.around import Around
from postroad.doctor.finding import Finding, ok, problem, unknown
from postroad.doctor.talk import Talk, connect
from postroad.doctor.tricks import ELSEWHERE, Trick, tricks
from postroad.model.errors import PeerError
from postroad.model.option import parse_endpoint
from postroad.model.reply import Reply
from postroad.net.addresses import host_addresses
from postroad.policy.networks import is_vast, is_within

ABOUT: Final = "open relay"
STRANGERS: Final = ("198.51.100.77", "203.0.113.77", "192.0.2.77", "2001:db8:7::77")  # of documentation (RFC 5737 3)
A_SESSION: Final = 4  # tricks in one session: far from limits.errors_per_session
LIVE: Final = 3  # tricks tried on the running server, which may learn from misbehaviour
MEND: Final = (
    "anybody can send mail to anybody through this server: take what lets them from access.relay_networks, "
    "access.relay_domains, [[rules]] or policies of your own; `postroad explain` tells which it is"
)

Begin = Callable[[], Awaitable[Talk]]


async def check_relay(around: Around) -> AsyncIterator[Finding]:
    """Try every listener."""
    config = around.config
    for network in filter(is_vast, config.access.relay_networks):
        words = f"access.relay_networks: a very large part of the Internet may relay: {network}"
        yield problem(ABOUT, words, MEND)
    stranger = next((ip for ip in STRANGERS if not _may_relay(config, ip)), "")
    for name in config.listeners:
        about = f"{ABOUT}: {name}"
        if not stranger:
            yield problem(about, "every address may relay", MEND)
            continue
        yield await _try(about, _all_tricks(config, stranger), partial(_in_memory, around, name, stranger))
    for name, listener in config.listeners.items():
        for text in listener.bind:
            host, port = parse_endpoint(text)
            source = _cold_source(config, host)
            if source and port:
                tried = islice(_all_tricks(config, source), LIVE)
                yield await _try(f"{ABOUT}: {name} on {text}, running", tried, partial(connect, source, port, source))


def _may_relay(config: Config, ip: str) -> bool:
    return is_within(ip, config.access.relay_networks)


def _all_tricks(config: Config, ip: str) -> Iterator[Trick]:
    domains = (domain for domain in config.access.relay_domains if not domain.startswith(("*", "[")))
    literal = f"[IPv6:{ip}]" if ":" in ip else f"[{ip}]"
    return tricks(config.hostname, next(domains, config.hostname), literal)


def _cold_source(config: Config, host: str) -> str:
    """An address of this host that reaches a listener at `host` and may not relay, or ""."""
    bound = ip_address(host)
    for text in host_addresses():
        own = ip_address(text)
        if own.version != bound.version or own.is_loopback or own.is_link_local or _may_relay(config, text):
            continue
        if bound.is_unspecified or own == bound:
            return text
    return ""


async def _in_memory(around: Around, listener: str, ip: str) -> Talk:
    return around.stranger(listener, ip)


async def _try(about: str, tried: Iterator[Trick], begin: Begin) -> Finding:
    """Try all of `tried`, a few in each session."""
    count, taken, refused = 0, [], ""
    try:
        while some := list(islice(tried, A_SESSION)):
            talk = await begin()
            try:
                banner = await talk.hear()
                if not banner.is_positive:
                    return ok(about, f"strangers are not even greeted: {banner}")
                for trick in some:
                    reply = await _answer(talk, trick, is_first=trick is some[0])
                    refused = refused or str(reply)
                    count += 1
                    if reply.is_positive:
                        taken.append(trick)
            finally:
                talk.close()
    except PeerError as error:
        return unknown(
            about, f"after {count} tries: {error}", "see that the server runs and can be reached, then repeat"
        )
    if taken:
        first = taken[0]
        what = f"{first.name}: MAIL FROM:<{first.sender}> RCPT TO:<{first.recipient}> is taken"
        return problem(about, f"{what}, and {len(taken) - 1} more of {count} ways" if taken[1:] else what, MEND)
    return ok(about, f"all {count} ways to relay to {ELSEWHERE} are refused ({refused})")


async def _answer(talk: Talk, trick: Trick, *, is_first: bool) -> Reply:
    """The reply that decides; a session that is ended is as good a refusal as any."""
    reply = await talk.say("EHLO cold.relay-test.invalid" if is_first else "RSET")
    if not reply.is_positive:
        return reply
    reply = await talk.say(f"MAIL FROM:<{trick.sender}>")
    return await talk.say(f"RCPT TO:<{trick.recipient}>") if reply.is_positive else reply
