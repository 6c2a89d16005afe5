"""Decides who is banned and which accounts are held, in the one process that may: the courier, or the only one.

It hears of conduct (from edges by the rings of `house/guard/board.py`), of mail that is admitted and of outcomes; what
it decides it writes into the shared memory, tells by records, and keeps for the next start. An account that is held is
told to the postmaster by mail, too. Orders of operators come by the control socket.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from postroad.config.schema import Config
from postroad.house.guard import files
from postroad.house.guard.board import GuardBoard
from postroad.house.guard.lookout import SECOND, ban_rules
from postroad.model.address import Mailbox, parse_mailbox
from postroad.model.content import Content
from postroad.model.envelope import Envelope
from postroad.model.errors import SpoolError
from postroad.model.outcome import Delivered, Failed, Outcome
from postroad.model.records import AccountHeld, Emit, NetworkBanned, SpoolFaulted
from postroad.model.route import Route
from postroad.model.work import Stored, Work
from postroad.net.clock import Clock
from postroad.policy.shield.accounts import Account, Accounts, hold_reason
from postroad.policy.shield.bans import Ban, Bans
from postroad.policy.shield.conduct import Conduct
from postroad.policy.shield.habits import Excess, Habit, HabitRules, Habits
from postroad.policy.shield.settings import BreakerSettings
from postroad.queue.spooling import Deliver
from postroad.routing.lanes import held_lane

LISTEN_EVERY: Final = 0.1  # seconds between two looks into the rings
KEEP_EVERY: Final = 60.0  # seconds between two writes of what was learned
_PORTION: Final = 16  # buckets of bans looked at before other work has its turn
_OFFENCES: Final = frozenset({"unknown_recipient", "refused"})

Admit = Callable[[Stored, list[Work]], None]


Tell = Callable[[str, Mailbox, str, str, int], None]  # from which host, to whom, subject, text, now


class Guard:
    """The one of the server."""

    def __init__(self, config: Config, board: GuardBoard, clock: Clock, emit: Emit, *, is_first: bool = True) -> None:
        """Go on with what was kept, unless somebody has worked with this memory before, who knew more.

        `tell` must be set before anything is admitted.
        """
        self.board = board
        self._clock = clock
        self._emit = emit
        self.tell: Tell | None = None
        self._config = config
        self.bans: Bans | None = None
        self.habits: Habits | None = None
        self.accounts = Accounts()
        self._changed = False
        self._told = ""
        self._is_running = False
        self._tasks: list[asyncio.Task[None]] = []
        if is_first:
            self._load_bans()
        self._load_accounts()
        self.adopt(config)

    # -- the configuration -----------------------------------------------------------------------

    def adopt(self, config: Config) -> None:
        """Go on by another configuration; what is known stays."""
        self._config = config
        rules = ban_rules(config)
        self.bans = None if rules is None else Bans(self.board.table, rules)
        if config.breaker is not None:
            self._adopt_breaker(config.breaker)
        self._work()

    def _adopt_breaker(self, breaker: BreakerSettings) -> None:
        minimums = (float(breaker.recipients), float(breaker.new_recipients), float(breaker.failures))
        self.habits = Habits(
            HabitRules(
                window=breaker.window,
                minimums=minimums,
                failure_ratio=breaker.failure_ratio,
                factor=breaker.factor,
                half_life=breaker.half_life,
            ),
            self._known_habits() if self.habits is None else self.habits.known,
        )

    def _load_bans(self) -> None:
        try:
            now = self._clock.now() // SECOND
            for portion in files.load_bans(self._config.bans_file):
                for network, standing in portion:
                    self.board.table.put(network, standing, now)
        except SpoolError as error:
            self._faulted(f"{error}; nobody is banned")

    def _load_accounts(self) -> None:
        try:
            self.accounts = Accounts(files.load_accounts(self._config.accounts_file))
        except SpoolError as error:
            self._faulted(f"{error}; no account is held or locked")
        self.board.show(self.accounts.all())

    def _known_habits(self) -> dict[str, Habit]:
        try:
            return files.load_habits(self._config.habits_file)
        except SpoolError as error:
            self._faulted(f"{error}; what is usual is learned anew")
            return {}

    # -- what happens ----------------------------------------------------------------------------

    def hear(self, conduct: Conduct) -> None:
        """A peer behaved so."""
        now = self._clock.now()
        if self.bans is not None:
            for ban in self.bans.learn(conduct.kind, conduct.ip, conduct.count, now // SECOND):
                self.announce(ban)
        if self.habits is not None and conduct.login and conduct.kind in _OFFENCES:
            self._judge(conduct.login, self.habits.settled(conduct.login, 0, conduct.count, now // SECOND))

    def announce(self, ban: Ban, by: str = "") -> None:
        """A ban begins."""
        now = self._clock.now()
        self._changed = True
        seconds = 0 if ban.is_endless else ban.until - now // SECOND
        network = str(ban.network)
        self._emit(NetworkBanned(at=now, network=network, seconds=seconds, kind=ban.kind, times=ban.times, by=by))

    def changed(self) -> None:
        """An order changed something that is to be kept."""
        self._changed = True

    def admitting(self, admit: Admit) -> Admit:
        """`admit`, which tells of the mail of logins; what is too much is held, not only what comes after."""

        def heard(stored: Stored, works: list[Work]) -> None:
            login = stored.envelope.origin.login
            if login and self._is_too_much(stored.envelope):
                lane = held_lane(hold_reason(login))
                for work in works:
                    work.lane, work.moved = lane, True
            admit(stored, works)

        return heard

    def _is_too_much(self, envelope: Envelope) -> bool:
        """Whether the login is held because of this very message."""
        if self.habits is None:
            return False
        login = envelope.origin.login
        recipients = [recipient.address.text for recipient in envelope.recipients]
        return self._judge(login, self.habits.taken(login, recipients, self._clock.now() // SECOND))

    def delivering(self, deliver: Deliver) -> Deliver:
        """`deliver`, which tells of the outcomes of mail of logins."""

        async def heard(route: Route, works: list[Work], content: Content) -> list[Outcome]:
            outcomes = await deliver(route, works, content)
            login = works[0].stored.envelope.origin.login
            if login:
                self._settled(login, outcomes)
            return outcomes

        return heard

    def _settled(self, login: str, outcomes: Sequence[Outcome]) -> None:
        if self.habits is None:
            return
        good = sum(isinstance(outcome, Delivered) for outcome in outcomes)
        bad = sum(isinstance(outcome, Failed) for outcome in outcomes)
        if good or bad:
            self._judge(login, self.habits.settled(login, good, bad, self._clock.now() // SECOND))

    # -- accounts --------------------------------------------------------------------------------

    def _judge(self, login: str, excess: Excess | None) -> bool:
        """Hold a login that left its habits; True when it was not held before."""
        self._changed = True
        if excess is None or self._config.breaker is None or self.accounts.of(login) is not None:
            return False
        return self.put(Account(login, "held", self._clock.now(), str(excess)))

    def put(self, account: Account) -> bool:
        """Hold or lock a login, durably; False when there are too many."""
        if not self.accounts.put(account) or not self.board.show(self.accounts.all()):
            self.accounts.free(account.login)
            self._faulted(f"the account {account.login} cannot be held: too many are held or locked")
            return False
        self._keep_accounts()
        if account.standing == "held":
            now, login = self._clock.now(), account.login
            self._emit(AccountHeld(at=now, login=login, reason=account.reason, by=account.by))
            self._write(account)
        return True

    def free(self, login: str, *, is_usual: bool = True) -> Account | None:
        """Neither hold nor lock it any more, durably; what it did is usual from now on, or was somebody else's."""
        account = self.accounts.free(login)
        if account is not None:
            self.board.show(self.accounts.all())
            self._keep_accounts()
            if self.habits is not None:
                judge = self.habits.forgive if is_usual else self.habits.forget
                judge(login, self._clock.now() // SECOND)
        return account

    def _write(self, account: Account) -> None:
        if self.tell is None:
            return
        config = self._config
        to = parse_mailbox(config.postmaster)
        text = _LETTER.format(login=account.login, reason=account.reason, hostname=config.hostname)
        self.tell(config.hostname, to, f"Mail of {account.login} is held", text, self._clock.now())

    def _keep_accounts(self) -> None:
        try:
            files.save_accounts(self._config.accounts_file, self.accounts.all())
        except SpoolError as error:
            self._faulted(str(error))

    # -- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to listen to the edges, if there are any, and to keep what is learned."""
        self._is_running = True
        self._work()

    def _work(self) -> None:
        """Work when there is anything to do by the configuration."""
        if self._tasks or not self._is_running or (self.bans is None and self.habits is None):
            return
        self._tasks.append(asyncio.create_task(self._keep_on()))
        if len(self.board.rings) > 1:
            self._tasks.append(asyncio.create_task(self._listen()))

    async def stop(self) -> None:
        """Keep what is known in the end."""
        if not self._tasks:
            return
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self.listen()
        await self.keep()

    async def _listen(self) -> None:
        while True:
            await self._clock.sleep(LISTEN_EVERY)
            self.listen()

    def listen(self) -> None:
        """Hear all that edges have seen."""
        for ring in self.board.rings:
            for conduct in ring.take():
                self.hear(conduct)

    async def _keep_on(self) -> None:
        while True:
            await self._clock.sleep(KEEP_EVERY)
            await self.keep()

    async def keep(self) -> None:
        """Write what was learned, when there is anything new."""
        if not self._changed:
            return
        self._changed = False
        now = self._clock.now() // SECOND
        table, longest = self.board.table, self._longest()
        portions: list[bytes] = []
        for bucket in table.buckets():
            entries = [(key, one) for key, one in table.entries(bucket) if one.until + longest > now or one.score > 0.0]
            if entries:
                portions.append(files.portion(entries))
            if bucket % _PORTION == 0:
                await self._clock.sleep(0)
        habits = None if self.habits is None else msgspec.json.encode(self.habits.known)
        try:
            await asyncio.get_running_loop().run_in_executor(None, files.save_bans, self._config.bans_file, portions)
            if habits is not None:
                path = self._config.habits_file
                await asyncio.get_running_loop().run_in_executor(None, files.save_habits, path, habits)
        except SpoolError as error:
            self._faulted(str(error))
            return
        self._told = ""

    def _longest(self) -> int:
        return 0 if self._config.bans is None else int(self._config.bans.longest)

    def _faulted(self, reason: str) -> None:
        if reason != self._told:
            self._told = reason
            self._emit(SpoolFaulted(at=self._clock.now(), reason=reason))


_LETTER: Final = """\
The login {login} does not behave as usual: {reason}.

What it sends is taken and held from now on; nothing is lost. When somebody else
has its password, lock it, then drop what is held:

    postroad account lock {login}
    postroad account drop {login}

When all is well, let its mail go; so much is usual from then on:

    postroad account release {login}

Postroad on {hostname}
"""
