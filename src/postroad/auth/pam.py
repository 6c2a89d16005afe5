"""The host's own accounts as an identity source, through PAM: whatever its file of our service says.

PAM waits for as long as its modules do, so it is called in a few threads, and a line of bounded length stands before
them; a call that never comes back holds up nothing but its place. Invariant: only the codes that say so are a no;
every other one means that PAM cannot tell now.
"""

from types import MappingProxyType
from typing import Final

from postroad.auth.gate import CrowdedError
from postroad.auth.hangers import Hangers
from postroad.auth.httpsource import ClosableSource
from postroad.auth.pamcall import LIBRARY, NEW_PASSWORD, PASSWORD_EXPIRED, SUCCESS, USER_UNKNOWN, Pam, PamAnswer
from postroad.auth.pamsettings import PamSettings
from postroad.auth.pamsource import MakePam
from postroad.auth.source import EXPIRED, PASSWORDS, Attempt, Denied, ScramKeys, Unavailable
from postroad.model.address import Mailbox, parse_mailbox
from postroad.model.errors import AddressError, ConfigError
from postroad.model.identity import Identity

NAME: Final = "pam"
LOGIN_LIMIT: Final = 256
_REFUSALS: Final = MappingProxyType(
    {
        6: "permission denied",
        7: "wrong password",
        11: "too many tries",
        13: "the account has expired",
    }
)


class PamSource:
    """The source."""

    def __init__(self, settings: PamSettings, pam: Pam) -> None:
        """Threads are begun when they are needed first."""
        self.name = NAME
        self._settings = settings
        self._pam = pam
        self._hangers = Hangers(settings.threads, settings.waiting)

    @property
    def offers(self) -> frozenset[str]:
        """Passwords alone."""
        return frozenset((PASSWORDS,))

    async def verify(self, login: str, secret: str, attempt: Attempt) -> Identity | Denied | Unavailable | None:
        """What PAM says."""
        if not secret or not _is_sound(secret):
            return Denied("an empty password, or one that PAM does not take")
        return await self._ask(login, secret, attempt)

    async def scram_keys(self, _login: str, _hash: str, _attempt: Attempt) -> ScramKeys | Denied | Unavailable | None:
        """There are none."""
        return None

    async def token(self, _login: str, _token: str, _attempt: Attempt) -> Identity | Denied | Unavailable | None:
        """There are none."""
        return None

    async def look_up(self, login: str, attempt: Attempt) -> Identity | Denied | Unavailable | None:
        """Whether the account may log in, whoever proved that it is theirs."""
        return await self._ask(login, None, attempt)

    async def close(self) -> None:
        """There is nothing to let go: a call that hangs ends with the process."""

    async def _ask(self, login: str, secret: str | None, attempt: Attempt) -> Identity | Denied | Unavailable | None:
        if not login or len(login) > LOGIN_LIMIT or not login.isprintable() or not _is_sound(login):
            return None
        try:
            answer = await self._hangers.run(self._pam.check, self._settings.service, login, secret, attempt.ip)
        except CrowdedError as error:
            return Unavailable(str(error))
        return meaning_of(answer, self._settings.domain, attempt.mechanism)


def meaning_of(answer: PamAnswer, domain: str, mechanism: str) -> Identity | Denied | Unavailable | None:
    """What PAM's answer says of the user."""
    if answer.code == SUCCESS:
        return Identity(answer.user, NAME, mechanism, _addresses(answer.user, domain))
    if answer.code == USER_UNKNOWN:
        return None
    if answer.code in {NEW_PASSWORD, PASSWORD_EXPIRED}:
        return Denied(f"{answer.words} (PAM)", EXPIRED)
    if answer.code in _REFUSALS:
        return Denied(f"{_REFUSALS[answer.code]} (PAM)")
    return Unavailable(f"PAM: {answer.words} ({answer.code})")


def _addresses(user: str, domain: str) -> tuple[Mailbox, ...]:
    if not domain:
        return ()
    try:
        return (parse_mailbox(f"{user}@{domain}"),)
    except AddressError:
        return ()


def _is_sound(text: str) -> bool:
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _make(settings: PamSettings) -> ClosableSource:
    try:
        return PamSource(settings, Pam())
    except OSError:
        raise ConfigError([f"auth.pam: {LIBRARY} is not there; install the package libpam0g"]) from None


make_pam: Final[MakePam] = _make
