"""What a directory says of an account: whether it may log in now, and what it means when a bind is refused. Pure.

Active Directory tells the reason of a refused bind as a code in the diagnostic text, which is for the record alone:
the client hears the same "no" for all of them, but that its password has expired, which only the right password shows.
"""

import re
from types import MappingProxyType
from typing import Final

from postroad.auth.source import EXPIRED, Denied
from postroad.net.ldap.codec import Entry, Result

# Attributes of Active Directory that tell of the account's state.
STATE_ATTRIBUTES: Final = (
    "userAccountControl",
    "msDS-User-Account-Control-Computed",
    "lockoutTime",
    "accountExpires",
    "pwdLastSet",
)
_DISABLED: Final = 0x2  # bits of userAccountControl and of its computed companion
_LOCKED: Final = 0x10
_NEVER_EXPIRES: Final = 0x10000
_PASSWORD_EXPIRED: Final = 0x800000
_NEVER: Final = frozenset((0, 2**63 - 1))  # accountExpires
_EPOCH: Final = 116_444_736_000_000_000  # 1970 in tenths of a microsecond since 1601

_CODE: Final = re.compile(r"\bdata ([0-9a-f]{1,8})\b", re.IGNORECASE)
_NO_SUCH_USER: Final = "525"
_REASONS: Final = MappingProxyType(
    {
        _NO_SUCH_USER: "no such user",
        "52e": "wrong password",
        "530": "not permitted to log in at this time",
        "531": "not permitted to log in from this workstation",
        "532": "the password has expired",
        "533": "the account is disabled",
        "568": "the account is in too many groups",
        "701": "the account has expired",
        "773": "the password must be changed before the first log-in",
        "775": "the account is locked out",
    }
)
_CHANGE_FIRST: Final = frozenset(("532", "773"))


def refusal_of(result: Result) -> Denied:
    """What the refused bind `result` says of the account."""
    code = _code(result)
    reason = _REASONS.get(code)
    if reason is None:
        return Denied(f"the directory refuses: {result}")
    return Denied(f"{reason} (data {code})", EXPIRED if code in _CHANGE_FIRST else "")


def is_unknown(result: Result) -> bool:
    """True when the directory tells that it has no such account; most tell only that it is not right."""
    return _code(result) == _NO_SUCH_USER


def _code(result: Result) -> str:
    found = _CODE.search(result.text)
    return found[1].lower() if found else ""


def state_of(entry: Entry, now: int, *, by_password: bool) -> Denied | None:
    """Why the account of `entry` may not log in at `now` (microseconds), or None.

    `by_password`: it was proved by a bind, in which the directory has looked at locks itself.
    """
    control, computed = _number(entry, "userAccountControl"), _number(entry, "msDS-User-Account-Control-Computed")
    expires = _number(entry, "accountExpires") or 0
    if control is not None and control & _DISABLED:
        return Denied("the account is disabled (userAccountControl)")
    if expires not in _NEVER and (expires - _EPOCH) // 10 <= now:
        return Denied("the account has expired (accountExpires)")
    if computed is not None and computed & _LOCKED:
        return Denied("the account is locked out (msDS-User-Account-Control-Computed)")
    if not by_password:
        locked = _number(entry, "lockoutTime") if computed is None else None
        return Denied("the account is locked out (lockoutTime)") if locked else None
    if computed is not None and computed & _PASSWORD_EXPIRED:
        return Denied("the password has expired (msDS-User-Account-Control-Computed)", EXPIRED)
    if _number(entry, "pwdLastSet") == 0 and not (control or 0) & _NEVER_EXPIRES:
        return Denied("the password must be changed before the first log-in (pwdLastSet)", EXPIRED)
    return None


def _number(entry: Entry, name: str) -> int | None:
    """The attribute as a number; None when there is none."""
    text = entry.text(name)
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 20 else None
