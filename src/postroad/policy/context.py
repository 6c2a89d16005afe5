"""What a policy is given: one frozen context type a stage.

The type in a policy's signature names its stage. Pure values; facts that were looked up once for a
connection (such as being in a relay network) travel with it.
"""

from msgspec import Struct

from postroad.model.address import Mailbox
from postroad.model.envelope import Origin


class Peer(Struct, frozen=True, gc=False):
    """Who is connected: `relays` tells that its address is in `access.relay_networks`."""

    ip: str
    relays: bool


class RcptContext(Struct, frozen=True, gc=False):
    """Stage rcpt: may this recipient be added? `taken` counts the recipients already in the transaction."""

    peer: Peer
    origin: Origin
    sender: Mailbox
    recipient: Mailbox
    taken: int
