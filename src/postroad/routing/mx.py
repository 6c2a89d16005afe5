"""From MX answers to targets in the order to try them: RFC 5321 5.1, the whole of it (*pure*).

Lower preferences first, equal ones in random order; where we are listed ourselves, our own preference
and everything worse is left out, or mail would go round in a loop. A null MX is a failure (RFC 7505 4.2), a
proven absence of any address is one too; whatever DNS could not tell now is a deferral.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from ipaddress import IPv6Address, ip_address
from itertools import chain, groupby, zip_longest
from typing import Final

from msgspec import Struct

from postroad.model.address import parse_domain
from postroad.model.dns import Answer, DnsStatus, MxRecord
from postroad.model.errors import AddressError
from postroad.model.outcome import Deferred, Failed, Scope
from postroad.model.reply import Reply
from postroad.model.route import SMTP, Target

HOST_LIMIT: Final = 10  # hosts of one domain that are looked up at all; the biggest providers have 5 or 6
ADDRESS_LIMIT: Final = 8  # addresses of one host
SMTP_PORT: Final = 25

Shuffle = Callable[[list[str]], None]  # puts a list into random order, in place


class Exchange(Struct, frozen=True, gc=False):
    """One host that takes mail for a domain; for the implicit MX (RFC 5321 5.1) that is the domain itself."""

    preference: int
    host: str
    implicit: bool = False


class Located(Struct, frozen=True):
    """A host, the addresses it has and why it has none: `status` is FOUND, or the better of A's and AAAA's answers."""

    host: str
    addresses: tuple[str, ...]
    status: DnsStatus
    ttl: int


class Plan(Struct, frozen=True):
    """Targets in order, never empty; `partial` when some host could not be looked up now.

    `hosts` are all that may take the mail, also those without an address now. A target's weight is that of its host.
    `authentic`: DNS proved that these are the hosts.
    """

    targets: tuple[Target, ...]
    reason: str
    ttl: int
    partial: bool = False
    hosts: tuple[str, ...] = ()
    authentic: bool = False


def choose_exchanges(
    domain: str, answer: Answer, *, own_names: Collection[str], shuffle: Shuffle
) -> list[Exchange] | Deferred | Failed:
    """The hosts to try for `domain`, given the answer for its MX: best first, equals in random order.

    `own_names` are the names, in lower case, by which MX records mean us.
    """
    if answer.is_temporary:
        return deferral(f"MX of {domain}", answer.status)
    if answer.status is DnsStatus.NO_NAME:
        return _failure(550, "5.1.2", f"domain not found: {domain}")
    records = [record for record in answer.records if isinstance(record, MxRecord)]
    if not records:
        exchanges = [Exchange(0, domain, implicit=True)]
    elif not any(record.exchange for record in records):
        return _failure(556, "5.1.10", f"domain {domain} takes no mail (null MX)")  # RFC 7505 4.2
    else:
        exchanges = _order(records, shuffle)
    if not exchanges:
        return _failure(550, "5.4.4", f"no MX record of {domain} names a valid host")
    ours = min((one.preference for one in exchanges if one.host in own_names), default=None)
    kept = [one for one in exchanges if ours is None or one.preference < ours]
    return kept[:HOST_LIMIT] or _loop(domain)


def locate(host: str, ipv4: Answer, ipv6: Answer) -> Located:
    """The addresses of `host` from its A and AAAA answers: both kinds in turn, the order within one as DNS gave it."""
    v4 = [record for record in ipv4.records if isinstance(record, str)]
    v6 = [record for record in ipv6.records if isinstance(record, str)]
    mixed = chain.from_iterable(zip_longest(map(plain_address, v6), v4))
    addresses = tuple(dict.fromkeys(address for address in mixed if address and _is_unicast(address)))[:ADDRESS_LIMIT]
    ttl = min(answer.ttl for answer in (ipv4, ipv6) if answer.records or not addresses)
    if addresses:
        return Located(host, addresses, DnsStatus.FOUND, ttl)
    temporary = next((answer.status for answer in (ipv4, ipv6) if answer.is_temporary), None)
    absent = DnsStatus.NO_NAME if DnsStatus.NO_NAME in (ipv4.status, ipv6.status) else DnsStatus.NO_DATA
    return Located(host, (), temporary or absent, ttl)


def plan_domain(
    domain: str, exchanges: Sequence[Exchange], located: Sequence[Located], *, is_own: Callable[[str, int], bool]
) -> Plan | Deferred | Failed:
    """The plan for `domain`: `located` tells about each of `exchanges`, `is_own` whether an address and port is us."""
    pairs = list(zip(exchanges, located, strict=True))
    ours = min(
        (one.preference for one, place in pairs if any(is_own(address, SMTP_PORT) for address in place.addresses)),
        default=None,
    )
    kept = [(one, place) for one, place in pairs if ours is None or one.preference < ours]
    preferences = sorted({one.preference for one, place in kept if place.addresses})
    tiers = {preference: tier for tier, preference in enumerate(preferences)}
    targets: list[Target] = []
    for one, place in kept:
        targets += targets_of(SMTP, place, SMTP_PORT, tier=tiers.get(one.preference, 0))
    unknown = [place for _, place in kept if is_unknown(place)]
    if targets:
        ttl = min(place.ttl for _, place in kept if place.addresses)
        hosts = tuple(dict.fromkeys(one.host for one, _ in kept))
        return Plan(tuple(targets), "; ".join(_describe(domain, pairs, ours)), ttl, bool(unknown), hosts)
    if unknown:
        return deferral(f"address of {unknown[0].host}", unknown[0].status)
    if ours is not None:
        return _loop(domain)
    if exchanges[0].implicit:
        return _failure(550, "5.4.4", f"domain {domain} has neither MX nor address")
    # RFC 5321 5.1: MX records that are present and all unusable must be reported as an error.
    return _failure(550, "5.4.4", f"no MX host of {domain} has an address")


def plan_literal(domain: str, *, is_own: Callable[[str, int], bool]) -> Plan | Failed:
    """The plan for an address literal, "[192.0.2.1]" or "[ipv6:2001:db8::1]" (RFC 5321 4.1.3)."""
    address = plain_address(domain[1:-1].removeprefix("ipv6:"))
    if not _is_unicast(address):
        return _failure(550, "5.1.2", f"nobody takes mail at the address {domain}")
    if is_own(address, SMTP_PORT):
        return _loop(domain)
    return Plan((Target(SMTP, address, address, SMTP_PORT),), "address literal", 3600, hosts=(address,))


def targets_of(scheme: str, located: Located, port: int, *, weight: int = 1, tier: int = 0) -> Iterator[Target]:
    """One target an address."""
    return (Target(scheme, located.host, address, port, weight, tier) for address in located.addresses)


def _order(records: Sequence[MxRecord], shuffle: Shuffle) -> list[Exchange]:
    """Best first, equals shuffled, each host once at its best preference, no names that can be none."""
    best: dict[str, int] = {}
    for record in records:
        if is_host(record.exchange):
            best[record.exchange] = min(record.preference, best.get(record.exchange, record.preference))
    exchanges = []
    for preference, group in groupby(sorted(best.items(), key=_preference), key=_preference):
        hosts = [host for host, _ in group]
        shuffle(hosts)
        exchanges += [Exchange(preference, host) for host in hosts]
    return exchanges


def _preference(item: tuple[str, int]) -> int:
    return item[1]


def is_host(name: str) -> bool:
    """False for what cannot be looked up: the root, an IP address where a name belongs, characters no name has."""
    if not name or name.rpartition(".")[2].isdigit():
        return False
    try:
        return parse_domain(name) == name
    except AddressError:
        return False


def plain_address(address: str) -> str:
    """`address`, or the IPv4 address that it holds mapped into IPv6 (RFC 4291 2.5.5.2): they are one host."""
    if not address.startswith("::ffff:"):
        return address
    mapped = IPv6Address(address).ipv4_mapped
    return address if mapped is None else str(mapped)


def _is_unicast(address: str) -> bool:
    """False for 0.0.0.0, which would connect to this very host, and for multicast."""
    ip = ip_address(address)
    return not (ip.is_unspecified or ip.is_multicast)


def is_unknown(place: Located) -> bool:
    """True for a host whose addresses DNS could not tell now."""
    return place.status.is_temporary


def _describe(domain: str, pairs: Sequence[tuple[Exchange, Located]], ours: int | None) -> Iterator[str]:
    """What the plan rests on, in words for people."""
    if pairs[0][0].implicit:
        yield f"no MX record, so the address of {domain} itself (RFC 5321 5.1)"
    else:
        yield f"MX of {domain}: {', '.join(f'{one.preference} {one.host}' for one, _ in pairs)}"
    for one, place in pairs:
        if ours is not None and one.preference >= ours:
            yield f"{one.host} left out: preference {ours} is our own address"
        elif not place.addresses:
            yield f"{one.host} left out: {'no address' if not is_unknown(place) else place.status.value}"


def _loop(domain: str) -> Failed:
    return _failure(554, "5.4.6", f"the best MX of {domain} is this server itself: mail would loop")


def _failure(code: int, enhanced: str, text: str) -> Failed:
    return Failed(Reply(code, enhanced, text), Scope.NEXT_HOP)


def deferral(what: str, status: DnsStatus) -> Deferred:
    """DNS did not tell `what` now."""
    return Deferred(Reply(451, "4.4.3", f"DNS look-up of the {what} failed: {status.value}"), Scope.NEXT_HOP)
