"""Contexts made up for tests of policies, with everything that is not given as a stranger would have it.

    assert isinstance(no_strangers(sample(RcptContext, ip="198.51.100.7")), Reject)

What a test wants to be otherwise it names; see docs/howto/write-a-policy.md.
"""

from typing import TypeVar

from msgspec import Struct

from postroad.model.address import NULL_PATH, Mailbox, parse_mailbox
from postroad.model.envelope import Origin, Recipient
from postroad.model.identity import Identity
from postroad.policy.context import Peer
from postroad.policy.facts import Facts

Context = TypeVar("Context", bound=Struct)


def sample(  # noqa: PLR0913  everything that a context may have
    kind: type[Context],
    *,
    ip: str = "198.51.100.7",
    helo: str = "mail.example.org",
    listener: str = "mx",
    relays: bool = False,
    login: str = "",
    groups: tuple[str, ...] = (),
    sender: str = "alice@example.org",
    recipient: str = "bob@example.com",
    content: bytes = b"Subject: sample\r\n\r\nText\r\n",
    facts: tuple[object, ...] = (),
) -> Context:
    """A context of type `kind`; `sender` "" is the null reverse-path, `login` that of a client that proved it."""
    identity = Identity(login, "users", groups=frozenset(groups)) if login else None
    to = parse_mailbox(recipient)
    known = Facts()
    for fact in facts:
        known.put(fact)
    head = content.partition(b"\r\n\r\n")[0]
    whole: dict[str, object] = {
        "peer": Peer(ip, relays=relays, identity=identity),
        "origin": Origin(ip, 40000, helo, "ESMTP", listener, "sample-1", login),
        "facts": known,
        "mechanism": "PLAIN",
        "sender": _sender(sender),
        "size": len(content),
        "recipient": to,
        "recipients": (Recipient(to),),
        "taken": 0,
        "head": head + b"\r\n",
        "content": content,
    }
    return kind(**{name: whole[name] for name in kind.__struct_fields__})


def _sender(text: str) -> Mailbox:
    return parse_mailbox(text) if text else NULL_PATH
