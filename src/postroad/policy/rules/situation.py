"""What rules are asked about: everything that is known of a message at one stage (*pure*).

Filled stage by stage; what costs something (fields of the header section) is read when a rule asks for it, and once.
"""

from email.errors import HeaderParseError
from email.header import decode_header, make_header
from typing import Final

from postroad.message.addresslist import addresses
from postroad.message.headers import fields
from postroad.model.address import NULL_PATH, Mailbox, parse_mailbox
from postroad.model.envelope import Origin
from postroad.model.errors import AddressError
from postroad.policy.context import Peer
from postroad.policy.facts import Facts
from postroad.policy.findingwords import words_of
from postroad.policy.networks import Number, number_of

CONNECT: Final = 0
MAIL: Final = 1
RCPT: Final = 2
MESSAGE: Final = 3
STAGES: Final = ("connect", "mail", "rcpt", "message")

_FIELDS: Final = 100  # of one name that are looked at


class Situation:
    """One message as far as it is known; `is_trusted` tells that its client may relay or has logged in.

    `is_limited`: it comes by a key of the HTTP API that may not relay, whatever rules accept.
    """

    __slots__ = (
        "_decoded",
        "_found",
        "_from",
        "facts",
        "groups",
        "head",
        "is_limited",
        "is_trusted",
        "listener",
        "login",
        "now",
        "number",
        "peer",
        "recipients",
        "sender",
        "size",
        "tags",
    )

    def __init__(
        self, peer: Peer, origin: Origin, now: int, facts: Facts | None = None, findings: frozenset[str] | None = None
    ) -> None:
        """What is known of the connection; `findings` are what policies have found out, else that is in `facts`."""
        identity = peer.identity
        self.peer = peer
        self.now = now
        self.listener = origin.listener
        self.number: Number | None = number_of(peer.ip)
        self.login = origin.login if identity is None else identity.login
        self.is_limited = identity is None and origin.login != "" and not peer.relays
        self.is_trusted = peer.relays or identity is not None
        self.sender: Mailbox = NULL_PATH
        self.recipients: tuple[Mailbox, ...] = ()
        self.head = b""
        self.size = 0
        self.tags: set[str] = set()
        self.groups: frozenset[str] = frozenset() if identity is None else identity.groups
        self.facts = facts
        self._found = findings
        self._from: tuple[Mailbox, ...] | None = None
        self._decoded: dict[str, tuple[str, ...]] = {}

    def see(self, head: bytes, size: int) -> None:
        """The content is there."""
        self.head, self.size = head, size
        self._from = None
        self._decoded.clear()

    def findings(self) -> frozenset[str]:
        """What policies have found out so far, in words."""
        if self._found is None:
            self._found = frozenset() if self.facts is None else words_of(self.facts)
        return self._found

    def forget_findings(self) -> None:
        """Policies have been asked again."""
        if self.facts is not None:
            self._found = None

    def from_addresses(self) -> tuple[Mailbox, ...]:
        """The addresses of the From field; what is no address has no domain."""
        if self._from is None:
            found = []
            for value in fields(self.head, b"from")[:_FIELDS]:
                for text in addresses(value.decode("utf-8", "replace")):
                    try:
                        found.append(parse_mailbox(text))
                    except AddressError:
                        found.append(Mailbox(text, text))  # it belongs to nobody
            self._from = tuple(found)
        return self._from

    def header(self, name: str) -> tuple[str, ...]:
        """The values of the fields called `name`, unfolded, encoded words decoded."""
        found = self._decoded.get(name)
        if found is None:
            values = fields(self.head, name.encode("ascii", "replace"))[:_FIELDS]
            found = self._decoded[name] = tuple(_decoded(value.decode("utf-8", "replace")) for value in values)
        return found


def _decoded(text: str) -> str:
    if "=?" not in text:
        return text
    try:
        return str(make_header(decode_header(text)))
    except (HeaderParseError, LookupError, ValueError):
        return text
