"""Every classic way to talk a mail server into relaying, as the commands of a client (*pure*).

None of them may get a recipient taken from a stranger: percent hack, bang path, source route, quoted local parts,
address literals, and senders that look as if they were ours (RFC 2505 2.1, RFC 5321 4.1.1.3, RFC 5321 F.2). "Elsewhere"
is a name that can never be anybody's (RFC 6761 6.4), so nothing could be delivered even if the test succeeded.
"""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

ELSEWHERE: Final = "relay-test.invalid"
USER: Final = "relaytest"


class Trick(Struct, frozen=True):
    """One try: the paths of MAIL and RCPT as sent, without angle brackets, and what it is called."""

    name: str
    sender: str
    recipient: str


def tricks(hostname: str, domain: str, literal: str) -> Iterator[Trick]:
    """All tries against the server `hostname`, which takes mail for `domain` and is reached at `literal`, "[ip]"."""
    stranger = f"{USER}@{ELSEWHERE}"
    yield Trick("a plain stranger", stranger, stranger)
    yield Trick("the null sender", "", stranger)
    for name, sender in (
        ("a sender of our domain", f"{USER}@{domain}"),
        ("our postmaster as sender", f"postmaster@{domain}"),
        ("a sender of our host", f"{USER}@{hostname}"),
        ("a sender of our address", f"{USER}@{literal}"),
        ("a sender of localhost", f"{USER}@localhost"),
        ("a sender that is our postmaster at the host", f"postmaster@{hostname}"),
    ):
        yield Trick(name, sender, stranger)
    ours = f"{USER}@{domain}"
    for name, recipient in _recipients(hostname, domain, literal):
        yield Trick(name, stranger, recipient)
        yield Trick(f"{name}, as one of us", ours, recipient)


def _recipients(hostname: str, domain: str, literal: str) -> Iterator[tuple[str, str]]:
    for where, host in (("domain", domain), ("host", hostname), ("address", literal)):
        yield f"percent hack at our {where}", f"{USER}%{ELSEWHERE}@{host}"
        yield f"double percent hack at our {where}", f"{USER}%{ELSEWHERE}%{host}@{host}"
        yield f"quoted address at our {where}", f'"{USER}@{ELSEWHERE}"@{host}'
        yield f"quoted percent hack at our {where}", f'"{USER}%{ELSEWHERE}"@{host}'
        yield f"two at signs at our {where}", f"{USER}@{ELSEWHERE}@{host}"
        yield f"source route by our {where}", f"@{host}:{USER}@{ELSEWHERE}"
        yield f"source route by our {where} and elsewhere", f"@{host},@{ELSEWHERE}:{USER}@{ELSEWHERE}"
        yield f"bang path at our {where}", f"{ELSEWHERE}!{USER}@{host}"
        yield f"bang path by our {where}", f"{host}!{ELSEWHERE}!{USER}"
        yield f"colon and percent hack at our {where}", f"{USER}%{ELSEWHERE}:{USER}@{host}"
    yield "percent hack without a domain", f"{USER}%{ELSEWHERE}"
    yield "quoted address without a domain", f'"{USER}@{ELSEWHERE}"'
    yield "bang path without a domain", f"{ELSEWHERE}!{USER}"
    yield "a trailing dot", f"{USER}@{ELSEWHERE}."
    yield "an address literal of others", f"{USER}@[192.0.2.1]"
    yield "an address literal without brackets", f"{USER}@192.0.2.1"
