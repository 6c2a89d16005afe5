"""Which addresses a login may send as: itself, those of its directory entry, those that are delegated to it.

A login that is an address is its own. Local parts are compared without regard to case, as everywhere in rules. Pure.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from postroad.model.address import Mailbox
from postroad.model.identity import Identity
from postroad.policy.listed import Texts
from postroad.policy.mailboxes import Mailboxes, compile_mailboxes


class Owners(Protocol):
    """Tells about logins."""

    def owns(self, identity: Identity, mailbox: Mailbox) -> bool:
        """True when `identity` may send as `mailbox`."""


class Delegations:
    """The lines of a file, "login  address, address", in look-up form; without a file nothing is delegated."""

    def __init__(self, file: Texts | None) -> None:
        """Read what is there; ValueError tells what is wrong with a line."""
        self._by_login: dict[str, Mailboxes] = {}
        if file is not None:
            self.prepare(file, file.texts)()
            file.readers.append(self)

    def prepare(self, _: Texts, texts: Sequence[str]) -> Callable[[], None]:
        """As `Reader` has it."""
        by_login = parse_delegations(texts)

        def put() -> None:
            self._by_login = by_login

        return put

    def owns(self, identity: Identity, mailbox: Mailbox) -> bool:
        """True for an address that is the login, one of its own, or delegated to it."""
        text = f"{mailbox.local}@{mailbox.domain}".casefold()
        if text == identity.login.casefold():
            return True
        for own in identity.addresses:
            if own.domain == mailbox.domain and own.local.casefold() in ("", mailbox.local.casefold()):
                return True
        given = self._by_login.get(identity.login.casefold())
        return given is not None and given.match(mailbox)


def parse_delegations(lines: Sequence[str]) -> dict[str, Mailboxes]:
    """The patterns of each login; ValueError tells what is wrong with a line."""
    found: dict[str, list[str]] = {}
    for line in lines:
        login, *rest = line.split(None, 1)
        patterns = [text.strip() for text in rest[0].split(",") if text.strip()] if rest else []
        if not patterns:
            raise ValueError(f'"{login}" has no addresses; write "login  address, address"')
        compile_mailboxes(patterns)
        found.setdefault(login.casefold(), []).extend(patterns)
    return {login: compile_mailboxes(patterns) for login, patterns in found.items()}
