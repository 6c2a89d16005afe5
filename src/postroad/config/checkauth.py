"""Rules about authentication: listeners that ask for it, sources that know somebody, mechanisms that can work.

What can never work is a problem; what works otherwise than most people expect is a doubt.
"""

from collections.abc import Iterator

from postroad.auth.settings import AuthSettings
from postroad.config.problem import Problem, Warned
from postroad.config.schema import Config


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


def known_sources(auth: AuthSettings) -> tuple[str, ...]:
    """The names of the sources that have a section, in the order of the reference."""
    return ("users",) if auth.users is not None else ()
