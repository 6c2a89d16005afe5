"""Orders of operators about bans and accounts, each with its record; they hold at once, in all processes.

What goes over all bans does so in portions, so that a million of them hold nobody up. What a held account sent is found
by the lane that its reason names.
"""

from collections.abc import AsyncIterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from postroad.desk.guardprotocol import AccountAsked, AccountNow, BanNow, BansAsked
from postroad.house.guard.guard import Guard
from postroad.house.guard.lookout import SECOND
from postroad.model.records import AccountHandled, Emit, NetworkUnbanned
from postroad.net.clock import Clock
from postroad.net.control import Caller
from postroad.policy.shield.accounts import Account, hold_reason, key_of
from postroad.policy.shield.bans import Ban, Bans
from postroad.policy.shield.bantable import FOREVER
from postroad.policy.shield.habits import MEASURES
from postroad.queue.actions import DROP, RELEASE, Order
from postroad.queue.operator import Operator, Tally
from postroad.routing.lanes import held_lane
from postroad.spool.filters import Query

_PORTION: Final = 16  # buckets looked at before other work has its turn
_MOST: Final = 100_000  # bans in one answer
Network = IPv4Network | IPv6Network


class GuardOrders:
    """Carries them out."""

    def __init__(self, guard: Guard, operator: Operator, clock: Clock, emit: Emit) -> None:
        """`operator` finds held mail."""
        self._guard = guard
        self._operator = operator
        self._clock = clock
        self._emit = emit

    # -- bans ------------------------------------------------------------------------------------

    async def bans(self, asked: BansAsked, caller: Caller) -> list[BanNow]:
        """What is in force, was begun or ended; ValueError when that makes no sense."""
        bans = self._guard.bans
        if bans is None:
            raise ValueError("the configuration of this server has no [bans]")
        network = parse_network(asked.network) if asked.network else None
        if asked.action == "list":
            return await self._list(bans, network, min(asked.limit, _MOST))
        if network is None:
            raise ValueError("name an address or a network")
        if asked.action == "add":
            return [_now(self._add(bans, network, asked.seconds, caller))]
        if asked.action == "remove":
            return await self._remove(bans, network, caller)
        raise ValueError(f"{asked.action!r} is nothing that can be done about bans")

    async def _list(self, bans: Bans, network: Network | None, limit: int) -> list[BanNow]:
        found: list[BanNow] = []
        async for ban in self._in_force(bans):
            if network is None or _meet(ban.network, network):
                found.append(_now(ban))
                if len(found) >= limit:
                    break
        return sorted(found, key=lambda one: (":" in one.network, one.network))

    async def _in_force(self, bans: Bans) -> AsyncIterator[Ban]:
        for bucket in bans.buckets():
            for ban in bans.in_bucket(bucket, self._seconds()):
                yield ban
            if bucket % _PORTION == 0:
                await self._clock.sleep(0)

    def _add(self, bans: Bans, network: Network, seconds: float, caller: Caller) -> Ban:
        if network.prefixlen == 0:
            raise ValueError(f"{network} is everybody")
        now = self._seconds()
        ban = bans.add(network, min(now + int(seconds), FOREVER - 1) if seconds > 0 else FOREVER, now)
        self._guard.announce(ban, caller.name)
        return ban

    async def _remove(self, bans: Bans, network: Network, caller: Caller) -> list[BanNow]:
        ended = [ban async for ban in self._in_force(bans) if _is_in(ban.network, network)]
        for ban in ended:
            bans.lift(ban)
            self._emit(NetworkUnbanned(at=self._clock.now(), network=str(ban.network), by=caller.name))
        self._guard.changed()
        return [_now(ban) for ban in ended]

    def _seconds(self) -> int:
        return self._clock.now() // SECOND

    # -- accounts --------------------------------------------------------------------------------

    async def account(self, asked: AccountAsked, caller: Caller) -> list[AccountNow]:
        """Accounts as they are after what was asked for; ValueError when that makes no sense."""
        guard, login = self._guard, asked.login
        if guard.habits is None:
            raise ValueError("the configuration of this server has no [breaker]")
        if asked.action == "list":
            return [AccountNow(account.login, account) for account in guard.accounts.all()]
        if not login:
            raise ValueError("name a login")
        if asked.action == "show":
            return [await self._shown(login)]
        before = guard.accounts.of(login)
        tally = Tally()
        match asked.action:
            case "hold" | "lock":
                self._put(asked, caller)
            case "release" if before is None or before.standing == "held":
                guard.free(login)
                tally = await self._act(RELEASE, asked, caller)
            case "release":
                raise ValueError(f"{login} is locked: unlock it first, then release its mail")
            case "drop":
                tally = await self._act(DROP, asked, caller)
            case "unlock" if before is not None and before.standing == "locked":
                guard.free(login, is_usual=False)  # what a thief did is nobody's habit
            case "unlock":
                raise ValueError(f"{login} is not locked")
            case _:
                raise ValueError(f"{asked.action!r} is nothing that can be done about an account")
        self._tell(asked, caller, tally)
        return [await self._shown(login)]

    def _put(self, asked: AccountAsked, caller: Caller) -> None:
        standing = asked.action + ("ed" if asked.action == "lock" else "")
        reason = asked.reason or f"by order of {caller.name}"
        account = Account(
            asked.login, "locked" if standing == "locked" else "held", self._clock.now(), reason, caller.name
        )
        if not self._guard.put(account):
            raise ValueError("too many accounts are held or locked")

    async def _act(self, action: str, asked: AccountAsked, caller: Caller) -> Tally:
        query = Query(lanes=frozenset({held_lane(hold_reason(asked.login))}))
        order = Order(action, query, caller.name, caller.uid, asked.reason)
        return await self._operator.act(order, f"held mail of the account {asked.login}", _quietly)

    def _tell(self, asked: AccountAsked, caller: Caller, tally: Tally) -> None:
        self._emit(
            AccountHandled(
                at=self._clock.now(),
                login=asked.login,
                action=asked.action,
                by=caller.name,
                uid=caller.uid,
                recipients=tally.recipients,
                reason=asked.reason,
            )
        )

    async def _shown(self, login: str) -> AccountNow:
        guard = self._guard
        query = Query(lanes=frozenset({held_lane(hold_reason(login))}))
        count = await self._operator.count(query)
        amounts: dict[str, tuple[float, float, float]] = {}
        if guard.habits is not None and key_of(login) in guard.habits.known:
            habit = guard.habits.look(login, self._seconds())
            for at, measure in enumerate(MEASURES):
                amounts[measure] = habit.amounts[at], habit.usual[at], guard.habits.allowed(habit, at)
        return AccountNow(login, guard.accounts.of(login), count.recipients, amounts)


async def _quietly(_tally: Tally) -> None:
    """Nobody waits for progress."""


def parse_network(text: str) -> Network:
    """A network, or the one of an address: IPv6 addresses are banned by their /64; ValueError says what is wrong."""
    try:
        if "/" in text:
            return ip_network(text)
        address = ip_address(text)
        return ip_network((address.packed, 32 if address.version == 4 else 64), strict=False)
    except ValueError as error:
        raise ValueError(f'{error}; write an address or a network like "192.0.2.0/24"') from None


def _now(ban: Ban) -> BanNow:
    return BanNow(str(ban.network), 0 if ban.is_endless else ban.until, ban.kind, ban.times)


def _is_in(inner: Network, outer: Network) -> bool:
    return inner.version == outer.version and inner.prefixlen >= outer.prefixlen and inner.network_address in outer


def _meet(one: Network, other: Network) -> bool:
    return _is_in(one, other) or _is_in(other, one)
