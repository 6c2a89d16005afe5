"""What a policy is given: one frozen context type a stage, in the order of a session.

The type in a policy's signature names its stage: connect, hello, auth, mail, rcpt, data, message. Pure values; what
was found out once for a connection (being in a relay network, who it proved to be) travels with it as `peer`, what
policies found out as `facts`.
"""

from msgspec import Struct

from postroad.model.address import Mailbox
from postroad.model.content import Content
from postroad.model.envelope import Origin, Recipient
from postroad.model.identity import Identity, TlsState
from postroad.policy.facts import Facts


class Peer(Struct, frozen=True, gc=False):
    """Who is connected: `relays` tells that its address is in `access.relay_networks`.

    `identity` is who it proved to be by AUTH, `tls` what its handshake agreed on; None without.
    """

    ip: str
    relays: bool
    identity: Identity | None = None
    tls: TlsState | None = None


class ConnectContext(Struct, frozen=True, gc=False):
    """Stage connect: may this peer speak at all? Asked before the banner."""

    peer: Peer
    origin: Origin
    facts: Facts


class HelloContext(Struct, frozen=True, gc=False):
    """Stage hello: `origin.helo` is what the peer calls itself."""

    peer: Peer
    origin: Origin
    facts: Facts


class AuthContext(Struct, frozen=True, gc=False):
    """Stage auth: may this peer try to prove who it is? Asked before anything is looked up."""

    peer: Peer
    origin: Origin
    mechanism: str
    facts: Facts


class MailContext(Struct, frozen=True, gc=False):
    """Stage mail: may this sender begin? `size` is what it declared, 0 without."""

    peer: Peer
    origin: Origin
    sender: Mailbox
    size: int
    facts: Facts


class RcptContext(Struct, frozen=True, gc=False):
    """Stage rcpt: may this recipient be added? `taken` counts the recipients already in the transaction."""

    peer: Peer
    origin: Origin
    sender: Mailbox
    recipient: Mailbox
    taken: int
    facts: Facts


class DataContext(Struct, frozen=True, gc=False):
    """Stage data: may the content come? All recipients are known."""

    peer: Peer
    origin: Origin
    sender: Mailbox
    recipients: tuple[Recipient, ...]
    facts: Facts


class MessageContext(Struct, frozen=True, gc=False):
    """Stage message: what becomes of the whole? `head` has the whole header section, `size` counts all octets.

    `content` is all of it: octets, or large content that is read by range.
    """

    peer: Peer
    origin: Origin
    sender: Mailbox
    recipients: tuple[Recipient, ...]
    head: bytes
    size: int
    facts: Facts
    content: Content = b""
