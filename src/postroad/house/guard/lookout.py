"""What a process that takes mail sees of bans and accounts, and how it tells what peers do.

It reads the shared memory that the courier writes (`house/guard/board.py`), by the rules of one configuration. Accounts
are read again when they have changed: a look costs one number else.
"""

from collections.abc import Callable

from msgspec import Struct

from postroad.config.schema import Config
from postroad.house.guard.board import GuardBoard
from postroad.listener.tarpit import Tarpit
from postroad.net.clock import Clock
from postroad.policies.banned import Banned
from postroad.policies.watched_accounts import HeldAccounts, LockedAccounts
from postroad.policy.chain import Policy
from postroad.policy.context import AuthContext, ConnectContext, MailContext, MessageContext
from postroad.policy.shield.accounts import Account, key_of
from postroad.policy.shield.bans import Ban, BanRules, Bans
from postroad.policy.shield.conduct import Conduct
from postroad.policy.shield.settings import BanSettings

SECOND = 1_000_000  # microseconds


class Eyes:
    """What every lookout of a process has in common."""

    def __init__(self, board: GuardBoard, tell: Callable[[Conduct], None], clock: Clock) -> None:
        """`tell` brings conduct to whoever decides."""
        self.board = board
        self.tell = tell
        self.clock = clock
        self._version = -1
        self._accounts: dict[str, Account] = {}

    def account_of(self, login: str) -> Account | None:
        """What is said of a login; None when it is free."""
        version = self.board.version
        if version != self._version:
            found = self.board.accounts()
            if found is not None:  # else it is being changed: as it was, for now
                self._accounts = {key_of(account.login): account for account in found}
                self._version = version
        return self._accounts.get(key_of(login))

    def is_locked(self, login: str) -> bool:
        """True when it may not log in."""
        account = self.account_of(login)
        return account is not None and account.standing == "locked"


class Lookout:
    """Bans as one configuration sees them."""

    def __init__(self, config: Config, eyes: Eyes) -> None:
        """`config` has bans, or this sees none."""
        rules = ban_rules(config)
        self._bans = None if rules is None else Bans(eyes.board.table, rules)
        self._clock = eyes.clock

    def ban_of(self, ip: str) -> Ban | None:
        """The ban in force of an address."""
        return None if self._bans is None else self._bans.judge(ip, self._clock.now() // SECOND)

    def nearness(self, ip: str) -> float:
        """How near an address is to a ban: 0 for who did nothing, 1 for who is banned."""
        return 0.0 if self._bans is None else self._bans.nearness(ip, self._clock.now() // SECOND)


def ban_rules(config: Config) -> BanRules | None:
    """What the configuration says about bans; None when it has none."""
    settings = config.bans
    if settings is None:
        return None
    # What clients do whom their proxy cannot name is told as the proxy's, and a ban of it would be one of all.
    trusted = [net for one in config.listeners.values() for net in (*one.proxies, *one.xclient)]
    return BanRules(
        shares=_shares(settings),
        half_life=settings.half_life,
        ban_time=settings.time,
        longest=settings.longest,
        prefixes=(24, 48),
        prefix_factor=settings.network_factor,
        never=(*settings.never, *config.access.relay_networks, *trusted),
    )


def _shares(settings: BanSettings) -> dict[str, float]:
    counts = {
        "auth_failed": settings.auth_failed,
        "unknown_recipient": settings.unknown_recipient,
        "refused": settings.refused,
        "talked_first": settings.talked_first,
    }
    return {kind: 1 / count for kind, count in counts.items() if count}


class Shield(Struct, frozen=True, kw_only=True):
    """What one configuration sets against abuse: policies by stage, who is told of conduct, how slowly is answered."""

    connect: tuple[Policy[ConnectContext], ...] = ()
    auth: tuple[Policy[AuthContext], ...] = ()
    mail: tuple[Policy[MailContext], ...] = ()
    message: tuple[Policy[MessageContext], ...] = ()
    watch: Callable[[Conduct], None] | None = None
    tarpit: Tarpit | None = None
    is_locked: Callable[[str], bool] | None = None


def shield_of(config: Config, eyes: Eyes | None) -> Shield:
    """The shield that `config` describes; nothing where it says nothing."""
    if eyes is None:
        return Shield()
    lookout = Lookout(config, eyes)
    has_bans, has_breaker = config.bans is not None, config.breaker is not None
    return Shield(
        connect=() if config.bans is None else (Banned(lookout.ban_of, config.bans.answer),),
        # Sessions that were open before the ban guess no further; 421 is the word for that, whatever `answer` says.
        auth=() if config.bans is None else (Banned(lookout.ban_of, "defer"),),
        mail=(LockedAccounts(eyes.account_of),) if has_breaker else (),
        message=(HeldAccounts(eyes.account_of),) if has_breaker else (),
        is_locked=eyes.is_locked if has_breaker else None,
        watch=eyes.tell if has_bans or has_breaker else None,
        tarpit=None if config.tarpit is None else Tarpit(config.tarpit, lookout.nearness if has_bans else None),
    )
