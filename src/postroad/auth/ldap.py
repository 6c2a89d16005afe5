"""A directory (LDAP, Active Directory) as an identity source: finds the entry of a login, binds as it, reads who it is.

Either the entry is searched for as somebody who may read, and then bound as, or a name is made of the login and bound
as, and the user reads. Invariant: only a bind with a password that is not empty proves anything (RFC 4513 5.1.2);
what the directory cannot say now is `Unavailable`, never "wrong" and never "unknown".
"""

from collections.abc import Iterable
from typing import Final

from postroad.auth.ldapaccount import STATE_ATTRIBUTES, is_unknown, refusal_of, state_of
from postroad.auth.ldapgroups import in_chain, names_of, walk
from postroad.auth.ldapsettings import LdapSettings
from postroad.auth.source import PASSWORDS, Attempt, Denied, ScramKeys, Unavailable
from postroad.model.address import Mailbox, parse_mailbox
from postroad.model.errors import AddressError, DirectoryError
from postroad.model.identity import Identity
from postroad.net.clock import Clock
from postroad.net.ldap.codec import BASE, Entry
from postroad.net.ldap.directory import Directory, Search
from postroad.net.ldap.filters import escape_dn, escape_filter, fill

LOGIN_LIMIT: Final = 320
ADDRESSES_LIMIT: Final = 500  # of one user, those it may use for others included
DELEGATIONS_LIMIT: Final = 200
DELEGATED_GROUPS: Final = 100  # names in one filter
_MEMBER_OF: Final = "memberOf"
_NOT_IN_UPN: Final = frozenset('"+,;<>\\=#*/()')  # what a name that is no distinguished one cannot have


class LdapSource:
    """The source; `name` is that of its section."""

    def __init__(self, name: str, settings: LdapSettings, directory: Directory, clock: Clock) -> None:
        """Nothing is asked yet."""
        self.name = name
        self._settings = settings
        self._directory = directory
        self._clock = clock
        direct = (_MEMBER_OF,) if settings.groups == "direct" else ()
        self._attributes = tuple(dict.fromkeys((settings.login, *settings.addresses, *STATE_ATTRIBUTES, *direct)))

    @property
    def offers(self) -> frozenset[str]:
        """Passwords alone: a directory does not give away what SCRAM needs."""
        return frozenset((PASSWORDS,))

    async def verify(self, login: str, secret: str, attempt: Attempt) -> Identity | Denied | Unavailable | None:
        """Whether the directory lets `login` bind with `secret`."""
        places = places_of(login)
        if places is None:
            return None
        if not secret or "\0" in secret or not _is_text(secret):
            return Denied("an empty password, or one that no directory takes")
        try:
            if self._settings.bind_as:
                return await self._bind_as(login, places, secret, attempt)
            return await self._search_then_bind(login, places, secret, attempt)
        except DirectoryError as error:
            return Unavailable(str(error))

    async def scram_keys(self, _login: str, _hash: str, _attempt: Attempt) -> ScramKeys | Denied | Unavailable | None:
        """There are none."""
        return None

    async def token(self, _login: str, _token: str, _attempt: Attempt) -> Identity | Denied | Unavailable | None:
        """There are none."""
        return None

    async def look_up(self, login: str, attempt: Attempt) -> Identity | Denied | Unavailable | None:
        """Who `login` is, read as whom the configuration says."""
        places = places_of(login)
        if places is None:
            return None
        try:
            found = await self._find(self._directory.search, places)
            if not isinstance(found, Entry):
                return found
            return await self._identity(self._directory.search, found, login, attempt, by_password=False)
        except DirectoryError as error:
            return Unavailable(str(error))

    # -- the two ways ------------------------------------------------------------------------------

    async def _search_then_bind(
        self, login: str, places: dict[str, str], secret: str, attempt: Attempt
    ) -> Identity | Denied | None:
        found = await self._find(self._directory.search, places)
        if not isinstance(found, Entry):
            return found
        bound = await self._directory.bind(found.dn, secret)
        if not bound.is_bound:
            return refusal_of(bound.result)
        return await self._identity(self._directory.search, found, login, attempt, by_password=True)

    async def _bind_as(
        self, login: str, places: dict[str, str], secret: str, attempt: Attempt
    ) -> Identity | Denied | None:
        template = self._settings.bind_as
        is_dn = "=" in template
        if not is_dn and set(login) & _NOT_IN_UPN:
            return None  # it could be taken for a distinguished name
        name = fill(template, places, escape_dn if is_dn else str)

        async def read(search: Search) -> Identity | Denied:
            found: Entry | Denied | None
            if is_dn:
                entries = await search(name, "(objectClass=*)", self._attributes, scope=BASE)
                found = entries[0] if entries else None
            else:
                found = await self._find(search, places)
            if found is None:
                raise DirectoryError(f"{name} may bind, but not read its own entry")
            if isinstance(found, Denied):
                return found
            return await self._identity(search, found, login, attempt, by_password=True)

        bound, who = await self._directory.bind_and(name, secret, read)
        if bound.is_bound:
            return who
        return None if is_unknown(bound.result) else refusal_of(bound.result)

    # -- who it is ---------------------------------------------------------------------------------

    async def _find(self, search: Search, places: dict[str, str]) -> Entry | Denied | None:
        """The one entry of the login."""
        wanted = fill(self._settings.filter, places, escape_filter)
        found = await search(self._settings.base, wanted, self._attributes, limit=2)
        if len(found) > 1:
            return Denied(f"several entries are found for it: {found[0].dn}, {found[1].dn}")
        return found[0] if found else None

    async def _identity(
        self, search: Search, entry: Entry, login: str, attempt: Attempt, *, by_password: bool
    ) -> Identity | Denied:
        denied = state_of(entry, self._clock.now(), by_password=by_password)
        if denied is not None:
            return denied
        settings = self._settings
        groups = await self._groups(search, entry)
        addresses = addresses_of(entry, settings.addresses)
        if settings.delegates:
            addresses += await self._delegated(search, entry.dn, groups)
        return Identity(
            _name_of(entry.text(settings.login)) or login,
            self.name,
            attempt.mechanism,
            tuple(dict.fromkeys(addresses))[:ADDRESSES_LIMIT],
            names_of(groups, settings.groups_below),
        )

    async def _groups(self, search: Search, entry: Entry) -> list[str]:
        settings = self._settings
        match settings.groups:
            case "off":
                return []
            case "direct":
                return list(entry.texts(_MEMBER_OF))
            case "nested":
                return await walk(search, settings.groups_below, settings.member, entry.dn)
            case "in-chain":
                return await in_chain(search, settings.groups_below, settings.member, entry.dn)

    async def _delegated(self, search: Search, dn: str, groups: list[str]) -> list[Mailbox]:
        """The addresses of entries that name `dn`, or a group it is in, as one who may send for them.

        What is beyond the bounds is not allowed.
        """
        settings = self._settings
        some = "".join(
            f"({attribute}={escape_filter(name)})"
            for name in (dn, *groups[:DELEGATED_GROUPS])
            for attribute in settings.delegates
        )
        found = await search(settings.base, f"(|{some})", settings.addresses, limit=DELEGATIONS_LIMIT)
        return [address for entry in found for address in addresses_of(entry, settings.addresses)]


def places_of(login: str) -> dict[str, str] | None:
    """What stands for `{login}`, `{user}` and `{domain}`; None when no directory has such a login."""
    if (
        not login
        or len(login) > LOGIN_LIMIT
        or not _is_text(login)
        or not login.isprintable()
        or login != login.strip()
    ):
        return None
    user, _, domain = login.rpartition("@") if "@" in login else (login, "", "")
    return {"login": login, "user": user, "domain": domain}


def addresses_of(entry: Entry, attributes: Iterable[str]) -> list[Mailbox]:
    """The mail addresses in these attributes, in their order, the primary one (`SMTP:`) of several first."""
    found: list[Mailbox] = []
    for attribute in attributes:
        for value in sorted(entry.texts(attribute), key=lambda text: not text.startswith("SMTP:")):
            kind, colon, rest = value.partition(":")
            is_address = not colon or "@" in kind
            if not is_address and kind.lower() != "smtp":
                continue  # X500:, SIP: and the like
            try:
                mailbox = parse_mailbox(value if is_address else rest)
            except AddressError:
                continue
            if mailbox.domain and mailbox not in found:
                found.append(mailbox)
    return found


def _name_of(text: str) -> str:
    """`text` if it can be a login, which stands in records and header fields, or ""."""
    return text if places_of(text) is not None else ""


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
