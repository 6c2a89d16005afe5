"""Builds what knows who may log in, from one configuration: the identity sources in their order, and their driver.

`read_auth` is where a further kind of source is wired in: it adds its `Source` under the name of its section, and what
lets it go. Sources are taken over by the next configuration when all options of `[auth]` are the same.
"""

from typing import Final

from postroad.auth.gate import Gate
from postroad.auth.hashing import Hashing
from postroad.auth.logins import Logins, Tools
from postroad.auth.service import AuthService
from postroad.auth.source import Source
from postroad.auth.users import NAME, UsersFile
from postroad.config.schema import Config
from postroad.house.issuers import has_same_issuers, open_issuers
from postroad.house.sources import has_same_sources, open_sources
from postroad.model.errors import ConfigError, TableError
from postroad.model.late import Late
from postroad.model.record import Record
from postroad.net.clock import Clock
from postroad.store.lastingkey import lasting_key

HASHING: Final = Late[Hashing]("postroad.auth.passwords", "ARGON2")


def read_auth(config: Config, clock: Clock) -> AuthService:
    """The sources that `config` describes; ConfigError when one cannot be used. Slow."""
    if all(listener.auth == "off" for listener in config.listeners.values()):
        return AuthService()
    settings = config.auth
    gate = Gate(settings.verifications, settings.waiting)
    hashing = HASHING.load()
    sources: dict[str, Source] = {}
    told: list[Record] = []
    users = None
    if settings.users is not None:
        users = UsersFile(settings.users.file, gate, hashing, clock, is_forced=bool(settings.mechanisms))
        try:
            told += users.load()
        except TableError as error:
            raise ConfigError([f"auth.users.file: {settings.users.file} {error}"]) from None
        sources[NAME] = users
    opened = open_sources(config, clock)
    sources |= opened.sources
    issuers = open_issuers(config, clock)
    sources |= issuers.sources
    closing = [*opened.closing, *(source.close for source in issuers.sources.values())]
    try:
        key = lasting_key(config.auth_key_file)
    except OSError as error:
        raise ConfigError([f"data_dir: {config.auth_key_file} cannot be used: {error.strerror}"]) from None
    logins = Logins(
        settings,
        [sources[name] for name in settings.order(sources)],
        Tools(gate, hashing, clock.monotonic, key, issuers.hint),
    )
    return AuthService(logins, gate=gate, users=users, told=told, starting=opened.starting, closing=closing)


def has_same_auth(old: Config, new: Config) -> bool:
    """True when the sources of `old` are good for `new`."""
    listeners = [{listener.auth != "off" for listener in config.listeners.values()} >= {True} for config in (old, new)]
    is_alike = old.auth == new.auth and listeners[0] == listeners[1]
    return is_alike and has_same_sources(old, new) and has_same_issuers(new)
