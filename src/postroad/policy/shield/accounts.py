"""Logins that are held or locked (*pure*): what they send waits, or they may not send at all, until somebody decides.

Case does not matter in logins: whoever locks "Ann" means "ann". A login is held when its habits are left
(`policy/shield/habits.py`) or by an order, and locked by an order alone. There are few of them; where there are too
many, none is forgotten and no further one is held, which is told.
"""

from typing import Final, Literal

from msgspec import Struct

Standing = Literal["held", "locked"]
MOST: Final = 10_000  # accounts that are held or locked at a time
LANE: Final = "account"  # begins the reason of held mail, which its lane is named by


class Account(Struct, frozen=True, omit_defaults=True):
    """One such login: since when, why, and by whose order ("": by none)."""

    login: str
    standing: Standing
    since: int
    reason: str
    by: str = ""


def key_of(login: str) -> str:
    """What a login is known by here, however it was written."""
    return login.casefold()


def hold_reason(login: str) -> str:
    """Why mail of a held login waits; the same for all of its mail, so that it can be found again."""
    return f"{LANE} {key_of(login)}"


class Accounts:
    """All of them, by login."""

    def __init__(self, accounts: tuple[Account, ...] = ()) -> None:
        """Go on with `accounts`."""
        self._known = {key_of(account.login): account for account in accounts}

    def all(self) -> tuple[Account, ...]:
        """All, in the order in which they came."""
        return tuple(self._known.values())

    def of(self, login: str) -> Account | None:
        """What is said of `login`; None when it is free."""
        return self._known.get(key_of(login))

    def is_locked(self, login: str) -> bool:
        """True when it may not log in, nor send."""
        account = self._known.get(key_of(login))
        return account is not None and account.standing == "locked"

    def put(self, account: Account) -> bool:
        """Hold or lock it; False when there are too many."""
        key = key_of(account.login)
        if key not in self._known and len(self._known) >= MOST:
            return False
        self._known[key] = account
        return True

    def free(self, login: str) -> Account | None:
        """Neither held nor locked any more; what it was."""
        return self._known.pop(key_of(login), None)
