"""Rules about authentication: listeners that ask for it, sources that know somebody, mechanisms that can work.

What can never work is a problem; what works otherwise than most people expect is a doubt. What the users file says is
told beside them, since a line that cannot be used costs one user's log-in and nothing else.
"""

from collections.abc import Iterator

from postroad.auth.settings import AuthSettings
from postroad.auth.userlines import Flaw, parse_lines
from postroad.auth.users import TOLD
from postroad.auth.usertable import users_of
from postroad.config.problem import Problem, Warned
from postroad.config.schema import Config
from postroad.store.tablefile import TableFileError
from postroad.store.usersfile import read_users


def check_auth(config: Config) -> Iterator[Problem]:
    """AUTH without anybody who could use it, and the other way around."""
    auth = config.auth
    known = known_sources(auth)
    for at, name in enumerate(auth.sources):
        if name not in known:
            there = ", ".join(known) or "none"
            yield Problem(("auth", "sources", at), f'"{name}": there is no such source here; there are: {there}')
    asking = [name for name, listener in config.listeners.items() if listener.auth != "off"]
    if not known and not auth.certificates:
        for name in asking:
            yield Problem(
                ("listeners", name, "auth"),
                f'"{config.listeners[name].auth}": nobody can log in; `postroad user add NAME` makes the file for '
                "[auth.users]",
            )
    elif not asking and auth != AuthSettings():
        yield Warned(("auth",), "nobody is asked to log in: no listener has auth")


def check_auth_places(config: Config) -> Iterator[Problem]:
    """The users file: whether it can be read, and its lines that cannot be used."""
    users = config.auth.users
    if users is None:
        return
    path = ("auth", "users", "file")
    try:
        text = read_users(users.file)
    except TableFileError as error:
        yield Problem(path, f'"{users.file}" {error}')
        return
    flaws: list[Flaw] = []
    flaws = users_of(list(parse_lines(text, flaws)), flaws).flaws
    for flaw in flaws[:TOLD]:
        yield Warned(path, f"{users.file}:{flaw.line}: {flaw.text}")
    if len(flaws) > TOLD:
        yield Warned(path, f"{users.file}: {len(flaws) - TOLD} more lines cannot be used")


def known_sources(auth: AuthSettings) -> tuple[str, ...]:
    """The names of the sources that have a section, in the order of the reference."""
    return ("users",) if auth.users is not None else ()
