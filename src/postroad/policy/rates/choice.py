"""Whom a rate is for, and whose account is charged (pure).

An account is named by values: a login, a prefix, a sender's domain. One that is missing (no login, the null
reverse-path) makes the rate not apply. Values are compared without regard to case.
"""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from hashlib import blake2b
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import product
from typing import Final

from msgspec import Struct

from postroad.model.address import Mailbox
from postroad.model.counts import Take, account_of, parse_cap
from postroad.model.days import Days
from postroad.policy.rates.settings import RateSettings

REMEMBERED: Final = 4096  # addresses of clients whose networks are known
VALUE_OCTETS: Final = 128  # of an account's name; longer ones are cut and told apart by a digest
_OF_RECIPIENT: Final = frozenset({"recipient", "recipient_domain"})
_OF_SENDER: Final = frozenset({"sender", "sender_domain"})
_OF_LOGIN: Final = frozenset({"login", "group"})


class Who(Struct, frozen=True, gc=False):
    """Who sends what to whom, as far as is known; `login` is "" without one."""

    ip: str
    login: str
    groups: frozenset[str]
    listener: str
    sender: Mailbox | None = None
    recipient: Mailbox | None = None


class Choice:
    """One rate, ready to be asked."""

    def __init__(self, settings: RateSettings) -> None:
        """Compile `settings` once."""
        self.settings = settings
        self.name = settings.name
        self.count = settings.count
        self.is_soft = settings.then == "hold"
        days = Days(settings.timezone)
        self.caps = [parse_cap(text, days) for text in settings.limits if "/" in text]
        self._caps = [(cap, account_of(settings.name, cap.label, "")) for cap in self.caps]
        self.at_once = min((int(text) for text in settings.limits if "/" not in text), default=0)
        parts = frozenset(settings.per)
        self.needs_recipient = bool(parts & _OF_RECIPIENT)
        self.needs_login = bool(parts & _OF_LOGIN) or bool(settings.logins or settings.groups)
        self.needs_sender = bool(parts & _OF_SENDER)
        self._is_login = matcher(settings.logins)
        self._is_exempt = matcher(settings.except_logins)
        self._is_group = matcher(settings.groups)
        self._values: list[Callable[[Who], tuple[str, ...]]] = [self._part(part) for part in settings.per]
        self._has_networks = bool(settings.networks or settings.except_networks)
        self._covers = lru_cache(REMEMBERED)(self._is_covered)
        self._prefix_of = lru_cache(REMEMBERED)(self._prefix)

    def is_for_listener(self, listener: str) -> bool:
        """True when it is for what comes in there."""
        return not self.settings.listeners or listener in self.settings.listeners

    def values(self, who: Who) -> list[str]:
        """Whose accounts are charged; none when it is not for `who`."""
        settings = self.settings
        if self._has_networks and not self._covers(who.ip):
            return []
        if settings.logins and not (who.login and self._is_login(who.login)):
            return []
        if settings.except_logins and who.login and self._is_exempt(who.login):
            return []
        if settings.groups and not any(map(self._is_group, who.groups)):
            return []
        if not self._values:
            return [""]
        if len(self._values) == 1:
            return [_short(value) for value in self._values[0](who)]
        return [_short(" ".join(parts)) for parts in product(*(part(who) for part in self._values))]

    def takes(self, who: Who, amount: int = 1, *, is_look: bool = False) -> list[Take]:
        """What is to be counted for `who`, or looked at."""
        values = self.values(who)
        return [
            Take(account + value, cap, amount, self.is_soft, is_look) for value in values for cap, account in self._caps
        ]

    def offences(self, who: Who, count: int) -> list[Take]:
        """What is to be counted of errors: in each account for itself, until it is full."""
        return [
            Take(account + value, cap, count, is_soft=True) for value in self.values(who) for cap, account in self._caps
        ]

    # -- parts of a name -------------------------------------------------------------------------

    def _part(self, part: str) -> Callable[[Who], tuple[str, ...]]:
        found: dict[str, Callable[[Who], tuple[str, ...]]] = {
            "ip": lambda who: (who.ip,) if who.ip else (),
            "prefix": lambda who: self._prefix_of(who.ip),
            "login": lambda who: (who.login.casefold(),) if who.login else (),
            "group": lambda who: tuple(sorted(group.casefold() for group in who.groups if self._is_group(group))),
            "sender": lambda who: _address(who.sender),
            "sender_domain": lambda who: _domain(who.sender),
            "recipient": lambda who: _address(who.recipient),
            "recipient_domain": lambda who: _domain(who.recipient),
            "listener": lambda who: (who.listener,),
        }
        return found[part]

    def _prefix(self, ip: str) -> tuple[str, ...]:
        address = _ip(ip)
        if address is None:
            return ()
        length = self.settings.prefix4 if address.version == 4 else self.settings.prefix6
        return (str(ip_network((address, length), strict=False)),)

    def _is_covered(self, ip: str) -> bool:
        settings, address = self.settings, _ip(ip)
        if settings.networks and not _is_in(address, settings.networks):
            return False
        return not _is_in(address, settings.except_networks)


def matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Whether a text is one of `patterns`, "*" for any text; without any, every text is."""
    given = [pattern.casefold() for pattern in patterns]
    if not given:
        return lambda _text: True
    plain = frozenset(pattern for pattern in given if "*" not in pattern)
    starred = [".*".join(map(re.escape, pattern.split("*"))) for pattern in given if "*" in pattern]
    if not starred:
        return lambda text: text.casefold() in plain
    match = re.compile("|".join(starred), re.DOTALL).fullmatch
    return lambda text: text.casefold() in plain or match(text.casefold()) is not None


def _ip(ip: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(ip.partition("%")[0])
    except ValueError:
        return None


def _is_in(address: object, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    return any(address in network for network in networks)


def _address(mailbox: Mailbox | None) -> tuple[str, ...]:
    return () if mailbox is None or mailbox.is_null else (mailbox.text.casefold(),)


def _domain(mailbox: Mailbox | None) -> tuple[str, ...]:
    return () if mailbox is None or not mailbox.domain else (mailbox.domain.casefold(),)


def _short(value: str) -> str:
    octets = value.encode("utf-8", "replace")
    if len(octets) <= VALUE_OCTETS:
        return value
    digest = blake2b(octets, digest_size=12).hexdigest()
    return f"{octets[: VALUE_OCTETS - 30].decode('utf-8', 'ignore')}~{digest}"
