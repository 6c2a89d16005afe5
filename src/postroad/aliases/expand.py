"""From recipients to those they stand for (pure): look-up, recursion, loops, bounds, each result once.

Written as generators that ask (a table, a key) and are answered, so that tables in memory cost no await and
databases may take their time; see `aliases.door`. Order of look-up as in Postfix's virtual(5): the address, the
address without its detail, "@domain", each in every table in turn. What happens to DSN parameters is
RFC 3461 5.2.7.2 and, by its second way, 5.2.7.3; see also RFC 5321 3.9.1.
"""

from collections.abc import Generator, Iterable, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Final

from msgspec import Struct

from postroad.aliases.table import Found, Table
from postroad.aliases.text import key_of
from postroad.model.address import Mailbox, parse_mailbox
from postroad.model.envelope import NOTIFY_DELAY, NOTIFY_FAILURE, NOTIFY_NEVER, NOTIFY_SUCCESS, Recipient
from postroad.model.errors import AddressError, PostroadError
from postroad.model.expansion import Expanded, Expansion
from postroad.smtp.client import original_recipient

_UNSPLIT: Final = frozenset({"postmaster", "mailer-daemon"})  # whatever the delimiter, these are whole


class Ask(Struct, frozen=True, gc=False):
    """A question: what has table number `table` for `key`."""

    table: int
    key: str


class Hit(Struct, frozen=True):
    """An entry: of which table, under which key, its addresses, and the detail that it did not name ("+x")."""

    table: int
    key: str
    addresses: tuple[str, ...]
    detail: str = ""


class Bounds(Struct, frozen=True):
    """How far an expansion may go: steps from a recipient, and addresses looked at for one message."""

    depth: int
    addresses: int


class ExpansionError(PostroadError):
    """The tables lead nowhere: a loop, too far, or to something that is no address."""


def look_up(tables: Sequence[Table], address: Mailbox) -> Generator[Ask, Found, Hit | None]:
    """The entry for `address` that counts, or None."""
    domain = address.domain
    covering = [number for number, table in enumerate(tables) if table.covers(domain)]
    key = key_of(address)
    for number in covering:
        asked = address.text if tables[number].is_whole else key
        found = yield Ask(number, asked)
        if found is not None:
            return Hit(number, asked, found)
    covering = [number for number in covering if not tables[number].is_whole]
    for number in covering:
        user, detail = split_detail(address.local, tables[number].delimiter)
        if detail:
            asked = f"{user.lower()}@{domain}"
            found = yield Ask(number, asked)
            if found is not None:
                return Hit(number, asked, found, detail)
    for number in covering:
        asked = f"@{domain}"
        found = yield Ask(number, asked)
        if found is not None:
            return Hit(number, asked, found)
    return None


def split_detail(local: str, delimiter: str) -> tuple[str, str]:
    """("user", "+detail") for "user+detail"; (`local`, "") when there is nothing to part."""
    if not delimiter or local.lower() in _UNSPLIT:
        return local, ""
    user, mark, detail = local.partition(delimiter)
    return (user, mark + detail) if user and mark else (local, "")


def targets(address: Mailbox, hit: Hit) -> list[Mailbox]:
    """The addresses that `hit` makes of `address`: "@domain" filled in, the detail handed on."""
    user = address.local.removesuffix(hit.detail) if hit.detail else address.local
    out = []
    for text in hit.addresses:
        try:
            if text.startswith("@"):
                found = parse_mailbox(f"{wire_local(user + hit.detail)}{text}")
            else:
                found = parse_mailbox(text)
                if hit.detail:
                    domain = found.text.rpartition("@")[2]
                    found = parse_mailbox(f"{wire_local(found.local + hit.detail)}@{domain}")
        except AddressError as error:
            raise ExpansionError(f"<{address}> leads to <{text}>, which is no address: {error}") from None
        if not found.domain:
            raise ExpansionError(f"<{address}> leads to <{text}>, which has no domain")
        out.append(found)
    return out


def wire_local(local: str) -> str:
    """A local part as it is written in an address: in quotes where it needs them (RFC 5321 4.1.2)."""
    try:
        if parse_mailbox(f"{local}@example.com").local == local:
            return local
    except AddressError:
        pass
    escaped = local.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class Walk:
    """The way through the tables for one message; recipients are followed one after the other."""

    def __init__(self, tables: Sequence[Table], bounds: Bounds) -> None:
        """Follow `tables` within `bounds`."""
        self._tables = tables
        self._bounds = bounds
        self._looked_at = 0
        self.steps: list[tuple[Mailbox, Hit, list[Mailbox]]] = []  # every entry that was used, for `explain`

    def identity(self, address: Mailbox) -> tuple[str, str]:
        """What makes two addresses one: case counts in a local part, but not in domains that a table is for."""
        domain = address.domain
        ours = any(domain in table.domains or domain in table.named() for table in self._tables)
        return (address.local.lower() if ours else address.local), domain

    def follow(self, address: Mailbox) -> Generator[Ask, Found, list[Mailbox]]:
        """All that `address` stands for, each once, in the order of the tables; itself when no table has it."""
        found: dict[tuple[str, str], Mailbox] = {}
        seen: set[tuple[str, str]] = set()
        before = len(self.steps)
        yield from self._follow(address, (), seen, found)
        self._refuse_loops(before)
        return list(found.values())

    def _refuse_loops(self, first: int) -> None:
        """ExpansionError when steps from `first` on lead in a circle; one with a name for itself in it has an end."""
        graph = {}
        for address, _, led_to in self.steps[first:]:
            key, keys = key_of(address), [key_of(target) for target in led_to]
            if key not in keys:
                graph[key] = keys
        if len(graph) > 1:
            try:
                TopologicalSorter(graph).prepare()
            except CycleError as error:
                raise ExpansionError(f"alias loop: {' -> '.join(reversed(error.args[1]))}") from None

    def _follow(
        self,
        address: Mailbox,
        way: tuple[str, ...],
        seen: set[tuple[str, str]],
        found: dict[tuple[str, str], Mailbox],
    ) -> Generator[Ask, Found, None]:
        identity = self.identity(address)
        if identity in seen:
            return
        seen.add(identity)
        self._looked_at += 1
        if self._looked_at > self._bounds.addresses:
            raise ExpansionError(f"more than {self._bounds.addresses} addresses (limits.expanded_recipients)")
        hit = yield from look_up(self._tables, address)
        if hit is None:
            found[identity] = address
            return
        if len(way) >= self._bounds.depth:
            raise ExpansionError(f"more than {self._bounds.depth} steps (limits.alias_depth): {' -> '.join(way)}")
        key = key_of(address)
        led_to = targets(address, hit)
        self.steps.append((address, hit, led_to))
        for target in led_to:
            if key_of(target) == key:
                found.setdefault(identity, target)
            else:
                yield from self._follow(target, (*way, key), seen, found)


def expand(tables: Sequence[Table], recipients: Iterable[Recipient], bounds: Bounds) -> Generator[Ask, Found, Expanded]:
    """All that `recipients` stand for, each once; ExpansionError when the tables lead nowhere."""
    walk = Walk(tables, bounds)
    taken: dict[tuple[str, str], Recipient] = {}
    expansions: list[Expansion] = []
    for recipient in recipients:
        addresses = yield from walk.follow(recipient.address)
        if addresses == [recipient.address]:
            successors = [recipient]
        else:
            successors = succeed(recipient, addresses)
            expansions.append(Expansion(recipient, tuple(address.text for address in addresses)))
        for successor in successors:
            identity = walk.identity(successor.address)
            before = taken.get(identity)
            taken[identity] = successor if before is None else merge(before, successor)
    return Expanded(list(taken.values()), tuple(expansions))


def succeed(recipient: Recipient, addresses: Sequence[Mailbox]) -> list[Recipient]:
    """Recipients at `addresses` in place of `recipient`, which stays known as their original (RFC 3461 5.2.1).

    Success is reported of the alias itself when there are several, and of none of them (RFC 3461 5.2.7.3).
    """
    notify = recipient.notify
    if len(addresses) > 1 and notify & NOTIFY_SUCCESS:
        notify = notify & ~NOTIFY_SUCCESS or NOTIFY_NEVER
    orcpt = recipient.orcpt or original_recipient(recipient.address.text)
    return [Recipient(address, notify, orcpt) for address in addresses]


def merge(one: Recipient, other: Recipient) -> Recipient:
    """One recipient for two that came to the same address: the first, told of whatever either asked for."""
    return Recipient(one.address, _both(one.notify, other.notify), one.orcpt)


def _both(one: int, other: int) -> int:
    if one == other:
        return one
    if NOTIFY_NEVER in (one, other):
        return one if other == NOTIFY_NEVER else other
    default = NOTIFY_FAILURE | NOTIFY_DELAY  # what is reported when nothing is said
    return (one or default) | (other or default)
