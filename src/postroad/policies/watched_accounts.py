"""What a login sends that does not behave as usual is held, and one that is locked may not send (`[breaker]`).

Which logins these are is decided elsewhere: by their habits, and by operators.
"""

from collections.abc import Callable

from postroad.policy.context import MailContext, MessageContext
from postroad.policy.shield.accounts import Account, hold_reason
from postroad.policy.verdict import Adjust, Answer, Reject, Verdict
from postroad.smtp import replies

Look = Callable[[str], Account | None]


class LockedAccounts:
    """The policy at stage mail."""

    def __init__(self, account_of: Look) -> None:
        """`account_of` tells of a login whether it is held or locked."""
        self._account_of = account_of

    def __call__(self, ctx: MailContext) -> Verdict | None:
        """Refuse mail of a locked login; it may have logged in before it was locked."""
        login = ctx.origin.login
        account = self._account_of(login) if login else None
        if account is None or account.standing != "locked":
            return None
        return Reject(replies.ACCOUNT_LOCKED, f"the account {login} is locked: {account.reason}", leave=True)


class HeldAccounts:
    """The policy at stage message."""

    def __init__(self, account_of: Look) -> None:
        """`account_of` tells of a login whether it is held or locked."""
        self._account_of = account_of

    def __call__(self, ctx: MessageContext) -> Answer | None:
        """Hold what a held login sends."""
        login = ctx.origin.login
        account = self._account_of(login) if login else None
        return None if account is None else Adjust(f"the account {login} is held", hold=hold_reason(login))
