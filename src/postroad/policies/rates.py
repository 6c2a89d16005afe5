"""How much may be sent: the limits of `[[rates]]`, asked at each stage of what all other policies take.

Each question is answered in one step for all limits together, and nothing is counted of what one of them refuses. What
a transaction took is given back when no message came of it. Names of rates that rules want (`RatesWanted`) are asked
at the stage at which they are named.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Final

from postroad.model.address import Mailbox
from postroad.model.counts import Counts, Crowd, Judged, Over, Take
from postroad.model.records import Emit, RateReached
from postroad.model.reply import Reply
from postroad.policy.context import ConnectContext, MailContext, MessageContext, RcptContext
from postroad.policy.facts import Facts
from postroad.policy.rates.choice import Choice, Who
from postroad.policy.rates.names import RatesWanted
from postroad.policy.shield.conduct import Conduct
from postroad.policy.verdict import Adjust, Defer
from postroad.smtp import replies

OFFENCES: Final = frozenset({"auth_failed", "unknown_recipient", "refused", "talked_first"})
_CONNECT: Final = replies.RATE_OF_CONNECTIONS
_MAIL: Final = replies.RATE_OF_MAIL
_RCPT: Final = replies.RATE_OF_RECIPIENTS
_GOODBYE: Final = 421
Stage = ConnectContext | MailContext | RcptContext | MessageContext
Said = Defer | Adjust | None
Answer = Said | Awaitable[Said]


class Stake:
    """What a transaction has taken so far, and which rates rules want for all of it. A fact."""

    __slots__ = ("_counts", "_now", "accounts", "taken", "wanted")

    def __init__(self, counts: Counts, now: Callable[[], int]) -> None:
        """Nothing yet."""
        self._counts = counts
        self._now = now
        self.taken: list[tuple[Sequence[Take], int]] = []
        self.accounts: set[str] = set()  # those that are charged once a transaction
        self.wanted: set[str] = set()

    def over(self, is_taken: bool) -> None:  # noqa: FBT001  as `Facts.at_end` calls it
        """The transaction ended: what it took is given back unless a message came of it."""
        if not is_taken:
            now = self._now()
            for takes, at in self.taken:
                self._counts.give_back(takes, at, now)
        self.taken.clear()


class RateControl:
    """The limits for one listener."""

    def __init__(
        self, choices: Iterable[Choice], counts: Counts, crowd: Crowd, emit: Emit, now: Callable[[], int]
    ) -> None:
        """Ask `counts`, and `crowd` of what there is at once; `choices` are those for the listener."""
        self._counts = counts
        self._crowd = crowd
        self._emit = emit
        self._now = now
        known = list(choices)
        self._by_name = {one.name: one for one in known}
        always = [one for one in known if not one.settings.only_rules]
        self._named = [one for one in known if one.settings.only_rules]
        self._connections = [one for one in always if one.count == "connections"]
        self._at_once = [one for one in self._connections if one.at_once]
        self._errors = [one for one in always if one.count == "errors"]
        self._messages = [one for one in always if one.count == "messages"]
        self._recipients = [one for one in always if one.count == "recipients"]
        self._bytes = [one for one in always if one.count == "bytes"]

    # -- which stages have something to ask --------------------------------------------------------

    @property
    def at_connect(self) -> bool:
        """Whether a connection has to be asked for."""
        return bool(self._connections) or any(not one.needs_login for one in self._errors)

    @property
    def at_mail(self) -> bool:
        """Whether a sender has to be asked for."""
        messages = any(not one.needs_recipient for one in self._messages)
        return bool(messages or self._bytes or self._errors or self._named)

    @property
    def at_rcpt(self) -> bool:
        """Whether recipients have to be asked for."""
        return bool(self._recipients or self._named) or any(one.needs_recipient for one in self._messages)

    @property
    def at_message(self) -> bool:
        """Whether the whole has to be asked for."""
        return bool(self._bytes or self._named)

    @property
    def learns(self) -> bool:
        """Whether `watch` has to be told of how peers behave."""
        return bool(self._errors)

    # -- the stages ------------------------------------------------------------------------------

    def connect(self, ctx: ConnectContext) -> Answer:
        """Defer a connection, with 421, when `[[rates]]` have no room for it, or for errors like those before."""
        who = _who(ctx)
        if self._at_once and (said := self._crowded(who, ctx.facts)) is not None:
            return said
        takes = [take for one in self._connections for take in one.takes(who)]
        takes += [take for one in self._errors if not one.needs_login for take in one.takes(who, is_look=True)]
        if not takes:
            return None
        now = self._now()
        judged = self._counts.take(takes, now)
        if isinstance(judged, tuple):
            return self._arrived(judged, takes, now, ctx.facts)
        return self._arrived_later(judged, takes, now, ctx.facts)

    async def _arrived_later(self, pending: Awaitable[Judged], takes: list[Take], now: int, facts: Facts) -> Said:
        return self._arrived(await pending, takes, now, facts)

    def _arrived(self, judged: Judged, takes: list[Take], now: int, facts: Facts) -> Said:
        """The verdict; a connection that turns out to be another client's, by XCLIENT, is the peer's no more."""
        if not judged:
            stake = Stake(self._counts, self._now)
            stake.taken.append(([take for take in takes if not take.is_look], now))
            facts.at_end(stake.over)
        return self._verdict(judged, now, _CONNECT)

    def _crowded(self, who: Who, facts: Facts) -> Said:
        """Defer one connection more than there may be at once."""
        crowd, entered = self._crowd, list[str]()
        for one in self._at_once:
            for value in one.values(who):
                name = f"{one.name}\n{value}"
                entered.append(name)
                if crowd.come(name) <= one.at_once:
                    continue
                for each in entered:
                    crowd.go(each)
                whose = f" for {', '.join(one.settings.per)} {value}" if value else ""
                return Defer(
                    replies.RATE_OF_CONNECTIONS,
                    f"rate {one.name}: {one.at_once} connections at once{whose}",
                    leave=True,
                )
        for name in entered:
            facts.at_end(partial(_left, crowd, name))
        return None

    def mail(self, ctx: MailContext) -> Answer:
        """Defer or hold a message when `[[rates]]` have no room for it."""
        who = _who(ctx)
        takes = [take for one in self._errors for take in one.takes(who, is_look=True)]
        size = max(ctx.size, 1)
        takes += [take for one in self._messages if not one.needs_recipient for take in one.takes(who)]
        takes += [
            take
            for one in self._bytes
            if not one.needs_recipient and not one.is_soft
            for take in one.takes(who, size, is_look=True)
        ]
        if self._named and (wanted := ctx.facts.get(RatesWanted)) is not None:
            stake = self._stake(ctx.facts)
            stake.wanted.update(wanted.names)
            takes += self._once(stake, who, wanted.names)
        return self._take(ctx.facts, takes, _MAIL) if takes else None

    def rcpt(self, ctx: RcptContext) -> Answer:
        """Defer a recipient, or hold the message, when `[[rates]]` have no room for it."""
        who = _who(ctx, ctx.recipient)
        takes = [take for one in self._recipients for take in one.takes(who)]
        stake: Stake | None = None
        for one in self._messages:
            if one.needs_recipient:
                stake = stake or self._stake(ctx.facts)
                takes += [take for take in one.takes(who) if take.account not in stake.accounts]
        if self._named:
            stake = stake or self._stake(ctx.facts)
            names = stake.wanted | self._wanted(ctx, stake)
            takes += [take for one in self._ruled(names, "recipients") for take in one.takes(who)]
            takes += self._once(stake, who, names)
        return self._take(ctx.facts, takes, _RCPT) if takes else None

    def message(self, ctx: MessageContext) -> Answer:
        """Defer or hold a message when `[[rates]]` have no room for all its octets."""
        who = _who(ctx)
        takes = [take for one in self._bytes for take in self._octets(one, who, ctx)]
        if self._named:
            stake = self._stake(ctx.facts)
            wanted = ctx.facts.get(RatesWanted)
            late = set(wanted.names) if wanted is not None and wanted.recipient is None else set()
            for one in self._ruled(stake.wanted | late, "bytes"):
                takes += self._octets(one, who, ctx)
            for one in self._ruled(late - stake.wanted, "recipients"):
                takes += self._for_recipients(one, who, ctx)
            takes += self._once(stake, who, late)
        return self._take(ctx.facts, takes, _MAIL) if takes else None

    def watch(self, conduct: Conduct) -> None:
        """Count what a peer should not have done."""
        if conduct.kind not in OFFENCES:
            return
        login = "" if conduct.kind == "auth_failed" else conduct.login  # what was tried is nobody's fault who has it
        who = Who(conduct.ip, login, frozenset(), conduct.listener)
        takes = [take for one in self._errors for take in one.offences(who, conduct.count)]
        if takes:
            self._counts.count(takes, self._now())

    # -- what is to be taken -----------------------------------------------------------------------

    def _octets(self, one: Choice, who: Who, ctx: MessageContext) -> list[Take]:
        if not one.needs_recipient:
            return one.takes(who, ctx.size)
        return self._for_recipients(one, who, ctx, ctx.size)

    def _for_recipients(self, one: Choice, who: Who, ctx: MessageContext, size: int = 0) -> list[Take]:
        """For each recipient one, or `size` for each account once."""
        if not one.needs_recipient:
            return one.takes(who, len(ctx.recipients))
        found: dict[str, Take] = {}
        for recipient in ctx.recipients:
            there = _with_recipient(who, recipient.address)
            for take in one.takes(there, size or 1):
                before = found.get(take.account)
                again = before is not None and not size
                amount = before.amount + 1 if before is not None and again else take.amount
                found[take.account] = Take(take.account, take.cap, amount, take.is_soft)
        return list(found.values())

    def _once(self, stake: Stake, who: Who, names: Collection[str]) -> list[Take]:
        """Messages, of rates that rules want."""
        return [
            take
            for one in self._ruled(names, "messages")
            if who.recipient is not None or not one.needs_recipient
            for take in one.takes(who)
            if take.account not in stake.accounts
        ]

    def _ruled(self, names: Collection[str], count: str) -> list[Choice]:
        """Those of `names` that are for rules, and count this."""
        return [one for one in self._named if one.name in names and one.count == count]

    def _wanted(self, ctx: RcptContext, stake: Stake) -> set[str]:
        """What rules want for this recipient; what is for all of the transaction is noted."""
        wanted = ctx.facts.get(RatesWanted)
        if wanted is None or (wanted.recipient is not None and wanted.recipient != ctx.recipient):
            return set()
        names = set(wanted.names)
        octets = {one.name for one in self._ruled(names, "bytes")}
        stake.wanted |= octets if wanted.recipient is not None else names
        return names

    # -- what comes of it --------------------------------------------------------------------------

    def _stake(self, facts: Facts) -> Stake:
        stake = facts.get(Stake)
        if stake is None:
            stake = Stake(self._counts, self._now)
            facts.put(stake)
            facts.at_end(stake.over)
        return stake

    def _take(self, facts: Facts, takes: list[Take], reply: Reply) -> Answer:
        now = self._now()
        judged = self._counts.take(takes, now)
        stake = self._stake(facts)
        if isinstance(judged, tuple):
            return self._settle(stake, takes, now, judged, reply)
        return self._settle_later(stake, takes, now, judged, reply)

    async def _settle_later(
        self, stake: Stake, takes: list[Take], now: int, pending: Awaitable[Judged], reply: Reply
    ) -> Said:
        return self._settle(stake, takes, now, await pending, reply)

    def _settle(self, stake: Stake, takes: list[Take], now: int, judged: Judged, reply: Reply) -> Said:
        if all(one.take.is_soft for one in judged):
            over = {one.take.account for one in judged}
            took = [take for take in takes if not take.is_look and take.account not in over]
            if took:
                stake.taken.append((took, now))
                stake.accounts.update(take.account for take in took)
        return self._verdict(judged, now, reply)

    def _verdict(self, judged: Judged, now: int, reply: Reply) -> Said:
        if not judged:
            return None
        for one in judged:
            if one.is_news:
                self._emit(self._reached(one, now))
        hard = [one for one in judged if not one.take.is_soft]
        reason = "; ".join(self._words(one, now) for one in hard or judged)
        if not hard:
            return Adjust(reason, hold=reason)
        if any(self._by_name[_named(one)[0]].count == "errors" for one in hard):
            reply = replies.RATE_OF_ERRORS
        return Defer(reply, reason, leave=reply.code == _GOODBYE)

    def _reached(self, one: Over, now: int) -> RateReached:
        name, _, account = _named(one)
        return RateReached(
            at=now,
            rate=name,
            limit=one.take.cap.words,
            counted=self._by_name[name].count,
            account=account,
            action="hold" if one.take.is_soft else "defer",
            used=one.used,
            wanted=one.take.amount,
            until=one.opens,
        )

    def _words(self, one: Over, now: int) -> str:
        name, _, account = _named(one)
        choice = self._by_name[name]
        whose = f" for {', '.join(choice.settings.per)} {account}" if account else ""
        then = f"room again in {_lasting(one.opens - now)}" if one.opens else "it is more than the whole limit"
        return f"rate {name}: {one.take.cap.words} {choice.count}{whose}, {one.used} used; {then}"


def _left(crowd: Crowd, name: str, _is_taken: bool) -> None:  # noqa: FBT001  as `Facts.at_end` calls it
    crowd.go(name)


def _named(one: Over) -> tuple[str, str, str]:
    name, label, account = one.take.account.split("\n", 2)
    return name, label, account


def _who(ctx: Stage, recipient: Mailbox | None = None) -> Who:
    peer, origin = ctx.peer, ctx.origin
    identity = peer.identity
    sender = None if isinstance(ctx, ConnectContext) else ctx.sender
    if identity is None:
        return Who(peer.ip, origin.login, frozenset(), origin.listener, sender, recipient)
    return Who(peer.ip, identity.login, identity.groups, origin.listener, sender, recipient)


def _with_recipient(who: Who, recipient: Mailbox) -> Who:
    return Who(who.ip, who.login, who.groups, who.listener, who.sender, recipient)


def _lasting(microseconds: int) -> str:
    """In one unit, rounded up."""
    seconds = max(-(-microseconds // 1_000_000), 1)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds > 2 * size:
            return f"{-(-seconds // size)}{unit}"
    return f"{seconds}s"
