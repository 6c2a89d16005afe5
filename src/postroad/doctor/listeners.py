"""Do the listeners answer as they are configured to: banner, EHLO, and TLS where it is offered.

Each is asked over a connection from this host. Whether others reach it (firewalls, port 25 of the provider) can only be
seen from outside. RFC 5321 4.3.1, RFC 3207 4.
"""

from collections.abc import AsyncIterator
from ipaddress import ip_address
from typing import Final

from postroad.config.checks.tls import Mode, mode_of
from postroad.doctor.around import Around
from postroad.doctor.finding import Finding, ok, problem, unknown
from postroad.doctor.talk import LiveTalk, connect
from postroad.model.errors import PeerError
from postroad.model.option import parse_endpoint
from postroad.net.tls.contexts import opportunistic_context
from postroad.smtp.clientparse import parse_extensions

ABOUT: Final = "listener"


async def check_listeners(around: Around) -> AsyncIterator[Finding]:
    """Ask each address of each listener."""
    for name, listener in around.config.listeners.items():
        for text in listener.bind:
            host, port = parse_endpoint(text)
            about = f"{ABOUT}: {name} on {text}"
            if not port:
                yield unknown(about, "its port is the system's choice, so it cannot be asked")
                continue
            mode = mode_of(around.config, listener)
            yield await _ask(about, around.config.hostname, (_reached(host), port), mode)


def _reached(host: str) -> str:
    address = ip_address(host)
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"


async def _ask(about: str, hostname: str, place: tuple[str, int], mode: Mode) -> Finding:
    try:
        talk = await connect(*place)
    except PeerError as error:
        mend = "start the server (`postroad serve`, or `systemctl start postroad`), and see its log"
        return problem(about, f"nobody answers: {error}", mend)
    try:
        return await _look(about, hostname, talk, mode)
    except PeerError as error:
        return problem(about, f"no sensible answer: {error}", "see what listens there, and the server's log")
    finally:
        talk.close()


async def _look(about: str, hostname: str, talk: LiveTalk, mode: Mode) -> Finding:
    agreed = ""
    if mode == "implicit":
        agreed = await talk.secure(opportunistic_context(), hostname)
    banner = await talk.hear()
    if not banner.is_positive:
        return problem(about, f"it says {banner}", "the log has the reason")
    if not banner.text.startswith(hostname):
        mend = "another program has the port, or the server runs by another configuration: `postroad reload` or restart"
        return problem(about, f"it calls itself {banner.text.partition(' ')[0]}, not {hostname}", mend)
    reply = await talk.say(f"EHLO {hostname}")
    if not reply.is_positive:
        return problem(about, f"EHLO is answered {reply}", "the log has the reason")
    offered = parse_extensions(reply)
    if mode in {"starttls", "required"}:
        if not offered.starttls:
            return problem(about, "it does not offer STARTTLS", "`postroad reload`, or see the log")
        reply = await talk.say("STARTTLS")
        if not reply.is_positive:
            return problem(about, f"STARTTLS is answered {reply}", "the log has the reason")
        agreed = await talk.secure(opportunistic_context(), hostname)
    how = f"; {agreed}" if agreed else ""
    return ok(about, f"greets as {hostname}, takes messages up to {offered.size} octets{how}")
