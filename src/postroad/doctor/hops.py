"""Can the next hops that the configuration names be reached, and what do they offer.

Each is connected to from this host, greeted and left; nothing is sent. Where mail leaves by MX there is nothing to
name: then a provider that blocks port 25 shows only when mail is delivered. RFC 5321 4.3.1.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Final

from postroad.config.schema import Config
from postroad.doctor.around import Around
from postroad.doctor.finding import Finding, ok, problem, unknown, warning
from postroad.doctor.talk import LiveTalk, connect
from postroad.model.errors import PeerError
from postroad.model.route import LMTP, SMTP, NextHop
from postroad.routing.lanes import parse_next_hop
from postroad.routing.rules import hop_text
from postroad.smtp.clientparse import parse_extensions

ABOUT: Final = "next hop"
MOST: Final = 20


async def check_hops(around: Around) -> AsyncIterator[Finding]:
    """Ask each host that a route names."""
    for hop in list(dict.fromkeys(_named(around.config)))[:MOST]:
        yield await _ask(around, hop)


def _named(config: Config) -> Iterator[NextHop]:
    for route in config.routes:
        for text in (*route.next_hops, *route.fallback):
            hop = parse_next_hop(hop_text(text))
            if hop.scheme in (SMTP, LMTP):
                yield hop


async def _ask(around: Around, hop: NextHop) -> Finding:
    about = f"{ABOUT}: {hop}"
    address = hop.path or await _address(around, hop.host)
    if not address:
        return problem(about, f"{hop.host} has no address", "mend the name in next_hops, or DNS")
    try:
        talk = await connect(address, hop.port)
    except PeerError as error:
        return problem(about, str(error), "see that it runs, and that no firewall stands between; mail for it waits")
    try:
        return await _look(about, around.config.hostname, hop, talk)
    except PeerError as error:
        return problem(about, str(error), "see the log of that host; mail for it waits")
    finally:
        talk.close()


async def _address(around: Around, host: str) -> str:
    for kind in ("A", "AAAA"):
        answer = await around.lookup(host, kind)
        for text in answer.records:
            if isinstance(text, str):
                return text
    return host if ":" in host or host.replace(".", "").isdigit() else ""


async def _look(about: str, hostname: str, hop: NextHop, talk: LiveTalk) -> Finding:
    banner = await talk.hear()
    if not banner.is_positive:
        return problem(about, f"it says {banner}", "its operator knows why")
    hello = "LHLO" if hop.scheme == LMTP else "EHLO"
    reply = await talk.say(f"{hello} {hostname}")
    if not reply.is_positive:
        return unknown(about, f"{hello} is answered {reply}", "mail is sent without extensions")
    offered = parse_extensions(reply)
    if not offered.starttls and hop.scheme == SMTP and not hop.path:
        return warning(
            about, "it offers no STARTTLS: mail goes there readable by everybody on the way", "have it offer TLS"
        )
    return ok(about, "answers" + (", offers STARTTLS" if offered.starttls else ""))
