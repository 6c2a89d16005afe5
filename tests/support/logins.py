"""Identity sources for tests: a real users file with cheap hashes, and sources that are down, slow or broken.

The hashes are of argon2id and SCRAM, made as `postroad user` makes them but with the least cost.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher

from postroad.auth.gate import Gate
from postroad.auth.logins import Logins, Tools
from postroad.auth.passwords import ARGON2
from postroad.auth.settings import AuthSettings
from postroad.auth.source import PASSWORDS, TOKENS, Attempt, Denied, ScramKeys, Source, Unavailable
from postroad.auth.userlines import Attributes, ScramLine, show_line, show_scram
from postroad.auth.users import UsersFile
from postroad.model.identity import Identity
from postroad.net.clock import Clock, SystemClock
from postroad.smtp.scram import key_pair, salted_password

CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
SALT = b"salt-of-the-user"
ROUNDS = 4096


def argon2_line(name: str, secret: str, **attributes: Any) -> str:
    """A line with a cheap hash."""
    return show_line(name, CHEAP.hash(secret), Attributes(**attributes))


def scram_line(name: str, secret: str, hash_name: str = "sha256", *, salt: bytes = SALT, **attributes: Any) -> str:
    """A line with a SCRAM form."""
    pair = key_pair(salted_password(secret, salt, ROUNDS, hash_name), hash_name)
    return show_line(name, show_scram(ScramLine(hash_name, salt, ROUNDS, pair)), Attributes(**attributes))


def write_lines(path: Path, lines: Sequence[str]) -> Path:
    """A users file that only its owner can read."""
    path.write_text("".join(f"{line}\n" for line in lines))
    path.chmod(0o600)
    return path


def users_file(path: Path, lines: Sequence[str], *, clock: Clock | None = None, is_forced: bool = False) -> UsersFile:
    """A source of `lines`, loaded."""
    source = UsersFile(write_lines(path, lines), Gate(2, 50), ARGON2, clock or SystemClock(), is_forced=is_forced)
    source.load()
    return source


def logins_of(
    sources: Sequence[Source], *, monotonic: Callable[[], float] | None = None, key: bytes = b"k" * 32, **options: Any
) -> Logins:
    """A driver over `sources`; wrong log-ins are answered at once unless `options` say otherwise."""
    settings = AuthSettings.model_validate({"failure_delay": "0s", **options})
    tools = Tools(Gate(2, 50), ARGON2, monotonic or SystemClock().monotonic, key, {"scope": "mail"})
    return Logins(settings, sources, tools)


class Scripted:
    """A source that gives one answer to everything, and counts who asked; None does not know anybody."""

    def __init__(
        self, name: str, answer: Identity | Denied | Unavailable | Exception | None, *, offers: Sequence[str] = ()
    ) -> None:
        self.name = name
        self.offers = frozenset(offers or (PASSWORDS, TOKENS))
        self.answer = answer
        self.asked: list[tuple[str, str]] = []
        self.gate: asyncio.Event | None = None  # answers wait for it

    async def _said(self, login: str, what: str) -> Identity | Denied | Unavailable | None:
        self.asked.append((login, what))
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def verify(self, login: str, secret: str, _attempt: Attempt) -> Identity | Denied | Unavailable | None:
        return await self._said(login, secret)

    async def token(self, login: str, token: str, _attempt: Attempt) -> Identity | Denied | Unavailable | None:
        return await self._said(login, token)

    async def look_up(self, login: str, _attempt: Attempt) -> Identity | Denied | Unavailable | None:
        return await self._said(login, "")

    async def scram_keys(
        self, login: str, hash_name: str, _attempt: Attempt
    ) -> ScramKeys | Denied | Unavailable | None:
        answer = await self._said(login, hash_name)
        return None if isinstance(answer, Identity) else answer
