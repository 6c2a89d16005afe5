"""Records about who is believed, banned, held or locked. Everybody imports them from `records`.

Those of bans are made for programs that read the log, too: `network` is always written with the length of its prefix.
"""

from postroad.model.record import Record


class ProxyRefused(Record, frozen=True, tag="ProxyRefused"):
    """A connection to a listener that expects the PROXY protocol was cut: it came from elsewhere, or said none."""

    listener: str
    ip: str
    port: int
    reason: str


class ClientChanged(Record, frozen=True, tag="ClientChanged"):
    """A trusted `proxy` said by XCLIENT for whom it speaks in this session from now on: a client, maybe its `login`."""

    session: str
    listener: str
    proxy: str
    ip: str
    port: int
    login: str = ""


class NetworkBanned(Record, frozen=True, tag="NetworkBanned"):
    """Nobody in `network` may connect for `seconds` (0: for good), the `times`th time in a row.

    `kind` is the last conduct that led to it: auth_failed, unknown_recipient, refused, talked_first, or order; an order
    was given `by` a user.
    """

    network: str
    seconds: int
    kind: str
    times: int = 1
    by: str = ""


class NetworkUnbanned(Record, frozen=True, tag="NetworkUnbanned"):
    """An operator ended a ban before its time."""

    network: str
    by: str


class AccountHeld(Record, frozen=True, tag="AccountHeld"):
    """What a login sends is held from now on: it does not behave as usual, or an operator says so (`by`)."""

    login: str
    reason: str
    by: str = ""


class AccountHandled(Record, frozen=True, tag="AccountHandled"):
    """An operator's `action` on a login: release, drop, lock, unlock; `recipients` of held mail changed with it."""

    login: str
    action: str
    by: str
    uid: int
    recipients: int = 0
    reason: str = ""
