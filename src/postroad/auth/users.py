"""The users file as an identity source: read at start, again when it changes, swapped whole.

A file that cannot be read, or that others could have changed, changes nothing: what was read before stays in force, and
it is told. RFC 4616 2 and RFC 5802 3 say what is compared.
"""

import asyncio
import hmac
from collections.abc import Callable
from pathlib import Path
from typing import Final

from postroad.auth.gate import Gate
from postroad.auth.hashing import Hashing
from postroad.auth.source import PASSWORDS, Attempt, Denied, ScramKeys, Unavailable
from postroad.auth.userlines import Attributes, ScramLine, key_of, parse_lines
from postroad.auth.usertable import Password, User, Users, users_of
from postroad.model.identity import Identity
from postroad.model.records import Emit, Record, TableLoaded, TableRefused, UserLineIgnored
from postroad.net.clock import Clock
from postroad.smtp.scram import key_pair, salted_password
from postroad.store.tablefile import Stamp, TableFileError, stamp_of
from postroad.store.usersfile import read_users

LOOK_EVERY: Final = 2.0  # seconds
TOLD: Final = 20  # broken lines of one reading that are told one by one
NAME: Final = "users"
NOBODY: Final = Users({}, frozenset(), frozenset(), [])


class UsersFile:
    """The source; `name` is that of the section."""

    def __init__(self, path: Path, gate: Gate, hashing: Hashing, clock: Clock, *, is_forced: bool = False) -> None:
        """Nobody is known before `load`; SCRAM is offered though not everybody can use it when that `is_forced`."""
        self.name = NAME
        self.path = path
        self.changed: Callable[[], None] | None = None  # who wants to hear that other passwords hold
        self._is_forced = is_forced
        self._gate = gate
        self._hashing = hashing
        self._clock = clock
        self._users = NOBODY
        self._loaded: Stamp | None = None
        self._seen: Stamp | None = None

    # -- the source ----------------------------------------------------------------------------

    @property
    def offers(self) -> frozenset[str]:
        """Passwords, and SCRAM when every password of every user has a form for it, or any that `is_forced`."""
        users = self._users
        return (users.some if self._is_forced else users.all) | {PASSWORDS}

    async def verify(self, login: str, secret: str, attempt: Attempt) -> Identity | Denied | Unavailable | None:
        """Whether `secret` is one of the passwords of `login`."""
        user = self._users.users.get(key_of(login))
        if user is None:
            return None
        password = await self._gate.run(find_password, user, secret, self._hashing)
        if password is None:
            return Denied("wrong password")
        return self._judge(user, password, attempt)

    async def scram_keys(self, login: str, hash_name: str, attempt: Attempt) -> ScramKeys | Denied | Unavailable | None:
        """The SCRAM forms of the user's passwords."""
        user = self._users.users.get(key_of(login))
        if user is None:
            return None
        known = user.stored(hash_name)
        if known is None:
            return Denied("the user has no password in the form that SCRAM needs")
        stored, passwords = known
        return ScramKeys(stored, tuple(self._judge(user, password, attempt) for password in passwords))

    async def token(self, _login: str, _token: str, _attempt: Attempt) -> Identity | Denied | Unavailable | None:
        """There are no tokens here."""
        return None

    async def look_up(self, login: str, attempt: Attempt) -> Identity | Denied | Unavailable | None:
        """Who `login` is."""
        user = self._users.users.get(key_of(login))
        if user is None:
            return None
        if user.about.locked:
            return Denied("the user is locked")
        return user.identity(self.name, attempt.mechanism, Attributes())

    def _judge(self, user: User, password: Password, attempt: Attempt) -> Identity | Denied:
        return user.judge(
            password,
            source=self.name,
            mechanism=attempt.mechanism,
            listener=attempt.listener,
            now=self._clock.now(),
        )

    # -- the file ------------------------------------------------------------------------------

    def load(self) -> list[Record]:
        """Read the file and use it; what is to be told. TableFileError when it cannot be used."""
        self._loaded = self._seen = stamp_of(self.path)
        text = read_users(self.path)
        flaws = list(NOBODY.flaws)
        self._users = users_of(list(parse_lines(text, flaws)), flaws)
        now, table = self._clock.now(), str(self.path)
        records: list[Record] = [
            UserLineIgnored(at=now, table=table, line=flaw.line, reason=flaw.text) for flaw in flaws[:TOLD]
        ]
        return [*records, TableLoaded(at=now, table=table, entries=len(self._users.users), doubts=len(flaws))]

    def look(self) -> list[Record]:
        """Read the file if it is another and has stayed so since the look before; what is to be told."""
        stamp = stamp_of(self.path)
        is_settled, self._seen = stamp == self._seen, stamp
        if not is_settled or stamp == self._loaded:
            return []
        try:
            return self.load()
        except TableFileError as error:
            refused = TableRefused(
                at=self._clock.now(), table=str(self.path), line=error.line, reason=str(error), problems=1
            )
            return [refused]

    async def watch(self, emit: Emit) -> None:
        """Look after the file until cancelled."""
        while True:
            await self._clock.sleep(LOOK_EVERY)
            before = self._users
            for record in await asyncio.to_thread(self.look):
                emit(record)
            if self._users is not before and self.changed is not None:
                self.changed()


def find_password(user: User, secret: str, hashing: Hashing) -> Password | None:
    """Which of the user's passwords `secret` is; slow by intent."""
    found = None
    for form, passwords in user.slow_forms():
        pair = key_pair(salted_password(secret, form.salt, form.iterations, form.hash_name), form.hash_name)
        for one in passwords:
            if isinstance(one.form, ScramLine) and hmac.compare_digest(one.form.pair.stored_key, pair.stored_key):
                found = one
    if found is not None:
        return found
    hashed = user.argon2()
    if hashed is not None and isinstance(hashed.form, str) and hashing.verify(hashed.form, secret):
        return hashed
    return None
