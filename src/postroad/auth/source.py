"""What an identity source is: who answers whether a login's password, token or SCRAM keys are right. Pure.

Sources are asked in the order of the configuration. One that does not know a login answers None, and the next is asked;
the first other answer holds. One that cannot tell now answers `Unavailable`: the client is told to come again
(454 4.7.0), never that it is wrong. No answer, no reason and no repr ever has a credential in it.
A source raises nothing: what it raises all the same counts as `Unavailable`. The driver sets a deadline.
"""

from typing import Final, Protocol

from msgspec import Struct

from postroad.model.identity import Identity
from postroad.smtp.scram import Stored

# What a source can be asked for; the names of SCRAM's are those of the hash as hashlib has them.
PASSWORDS: Final = "password"
TOKENS: Final = "token"
SCRAM_SHA256: Final = "sha256"
SCRAM_SHA1: Final = "sha1"

# What else than "no" a denial means to its client; all but WRONG are said only to who had the right password.
WRONG: Final = ""  # 535 5.7.8, whatever the exact reason is
EXPIRED: Final = "expired"  # 432 4.7.12: right, but the password has to be changed first
WEAK: Final = "weak"  # 534 5.7.9: right, but this login may not use a mechanism as weak as this one


class Attempt(Struct, frozen=True, gc=False):
    """One attempt to log in, as far as a source may care: from where, and by which mechanism."""

    ip: str
    listener: str
    mechanism: str
    session: str = ""
    is_secure: bool = False


class Denied(Struct, frozen=True, gc=False):
    """No: the source knows the login, and this is not it, or it may not. `reason` is exact, for the record alone."""

    reason: str
    meaning: str = WRONG
    login: str = ""  # whose it is, where the source knows that better than the client said (tokens)


class Unavailable(Struct, frozen=True, gc=False):
    """The source cannot tell now; `reason` is for the record."""

    reason: str


class ScramKeys(Struct, frozen=True, gc=False):
    """What SCRAM needs of a login instead of its passwords, and who that is.

    A login may have several passwords. Whoever proves a key in `stored` is the identity of the same place in
    `identities`, or is denied by what stands there although the password is right.
    """

    stored: Stored
    identities: tuple[Identity | Denied, ...]


class Source(Protocol):
    """One identity source. `name` stands in records and in `Identity.source`."""

    name: str

    @property
    def offers(self) -> frozenset[str]:
        """What it can be asked for at this moment: PASSWORDS, TOKENS, SCRAM_SHA256, SCRAM_SHA1; cheap to ask."""

    async def verify(self, login: str, secret: str, attempt: Attempt, /) -> Identity | Denied | Unavailable | None:
        """Whether `secret` is a password of `login`; None when it does not know the login.

        A login that is unknown costs as much time as a wrong password, as far as that is the source's to say: the
        driver makes up for it once, when no source at all has known the login.
        """

    async def scram_keys(
        self, login: str, hash_name: str, attempt: Attempt, /
    ) -> ScramKeys | Denied | Unavailable | None:
        """The keys of `login` for SCRAM with `hash_name`; None when it does not know the login."""

    async def token(self, login: str, token: str, attempt: Attempt, /) -> Identity | Denied | Unavailable | None:
        """Whose access token `token` is; None when it is none of this source's (another issuer's).

        `login` is what the client claims, "" when it claims nothing; a token of somebody else is `Denied`.
        """

    async def look_up(self, login: str, attempt: Attempt, /) -> Identity | Denied | Unavailable | None:
        """Who `login` is, for somebody who has proved it otherwise (a client certificate); None when not known."""
