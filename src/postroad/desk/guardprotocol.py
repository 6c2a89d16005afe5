"""What is said on the control socket about bans and accounts: requests and what answers carry. Pure.

See `desk/protocol.py` for the rest of the conversation.
"""

from msgspec import Struct

from postroad.policy.shield.accounts import Account

BAN_ACTIONS = ("list", "add", "remove")
ACCOUNT_ACTIONS = ("list", "show", "hold", "release", "drop", "lock", "unlock")


class Request(Struct, frozen=True, tag_field="do", kw_only=True, omit_defaults=True):
    """Base of these requests, with the form of all others."""


class BansAsked(Request, frozen=True, tag="bans"):
    """List the bans in or around `network` ("": all, at most `limit`), ban it for some `seconds`, or end its bans.

    0 seconds: until somebody ends it.
    """

    action: str
    network: str = ""
    seconds: float = 0
    limit: int = 1000


class AccountAsked(Request, frozen=True, tag="account"):
    """Show accounts, or do something about `login`."""

    action: str
    login: str = ""
    reason: str = ""


class BanNow(Struct, frozen=True, omit_defaults=True):
    """A ban in force; `until` in seconds since 1970, 0: until somebody ends it."""

    network: str
    until: int
    kind: str
    times: int


class AccountNow(Struct, frozen=True, omit_defaults=True):
    """A login: held or locked, or free (None); what it did within the window, what is usual and allowed, by measure."""

    login: str
    account: Account | None = None
    held: int = 0  # recipients that wait
    amounts: dict[str, tuple[float, float, float]] = {}
