"""Rules about authentication: listeners that ask for it, sources that know somebody, mechanisms that can work.

What can never work is a problem; what works otherwise than most people expect is a doubt. What the users file says is
told beside them, since a line that cannot be used costs one user's log-in and nothing else.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from postroad.auth.httpsettings import HttpSettings, has_credentials
from postroad.auth.settings import AuthSettings
from postroad.auth.userlines import Flaw, parse_lines
from postroad.auth.users import TOLD
from postroad.auth.usertable import users_of
from postroad.config.checks.tls import mode_of
from postroad.config.problem import Problem, Warned
from postroad.config.schema import Config
from postroad.config.secrets import read_secret
from postroad.model.errors import ConfigError
from postroad.net.process.rights import can_read, is_root
from postroad.store.tablefile import TableFileError
from postroad.store.usersfile import read_users

PAM_FOLDER: Final = Path("/etc/pam.d")


def check_auth(config: Config) -> Iterator[Problem]:
    """AUTH without anybody who could use it, and the other way around."""
    yield from _directories(config)
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
    yield from _useless(config, asking)


def _useless(config: Config, asking: Sequence[str]) -> Iterator[Problem]:
    """What is set and cannot be used for want of TLS."""
    auth = config.auth
    has_scram = auth.users is not None and bool(auth.users.scram)
    for name in asking:
        listener = config.listeners[name]
        if mode_of(config, listener) == "off" and not (has_scram or auth.plain_text_networks):
            yield Warned(
                ("listeners", name, "auth"),
                f'"{listener.auth}": passwords are taken under TLS alone, and this listener has none; set '
                "tls.certificate, or auth.plain_text_networks",
            )
    if auth.certificates and all(config.listeners[name].client_certificates == "off" for name in asking):
        yield Warned(
            ("auth", "certificates"), "no listener with auth asks for certificates: listeners.NAME.client_certificates"
        )


def _directories(config: Config) -> Iterator[Problem]:
    """Sources of one name, and directories that are not there or cannot be searched."""
    for name, service in config.auth.http.items():
        if name in config.auth.ldap:
            yield Problem(("auth", "http", name), f"auth.ldap.{name} has this name already")
        if has_credentials(service.url):
            yield Problem(("auth", "http", name, "url"), "has a name or password in it; secret is an option of its own")
    for name, source in config.auth.ldap.items():
        path = ("auth", "ldap", name)
        directory = config.directories.get(source.directory)
        if directory is None:
            there = ", ".join(config.directories) or "none"
            yield Problem((*path, "directory"), f'"{source.directory}": there is no such directory; there are: {there}')
        elif directory.connect_timeout + directory.answer_timeout >= config.auth.source_timeout:
            yield Warned(
                ("auth", "source_timeout"),
                f"ends the wait before a second server of the directory {source.directory} is asked, "
                "whose connect_timeout and answer_timeout come first",
            )
        elif not directory.bind_dn and not source.bind_as:
            yield Warned(
                (*path, "directory"),
                f'"{source.directory}": users are searched for by nobody (anonymous); most directories show nothing to '
                f"such; set bind_dn there, or bind_as here",
            )
        for option in ("group_base", "member"):
            is_used = source.groups in {"nested", "in-chain"} or (option == "group_base" and source.groups == "direct")
            if option in source.model_fields_set and not is_used:
                yield Problem((*path, option), f'means nothing here: groups is "{source.groups}"')


def check_auth_places(config: Config) -> Iterator[Problem]:
    """The users file: whether it can be read, and its lines that cannot be used."""
    for name, service in config.auth.http.items():
        try:
            http_secret(name, service)
        except ConfigError as error:
            yield Problem(("auth", "http", name, "secret"), str(error).partition(": ")[2])
    pam = config.auth.pam
    if pam is not None and not (PAM_FOLDER / pam.service).is_file():
        yield Problem(
            ("auth", "pam", "service"),
            f'"{pam.service}": there is no {PAM_FOLDER / pam.service}, so PAM would say no to all',
        )
    users = config.auth.users
    if users is None:
        return
    path = ("auth", "users", "file")
    try:
        text = read_users(users.file)
    except TableFileError as error:
        yield Problem(path, f'"{users.file}" {error}')
        return
    user = config.process.user
    if user and is_root() and not can_read(user, users.file):
        yield Problem(
            path, f'"{users.file}" cannot be read by the user {user} (process.user); chgrp {user} {users.file}'
        )
    flaws: list[Flaw] = []
    flaws = users_of(list(parse_lines(text, flaws)), flaws).flaws
    for flaw in flaws[:TOLD]:
        yield Warned(path, f"{users.file}:{flaw.line}: {flaw.text}")
    if len(flaws) > TOLD:
        yield Warned(path, f"{users.file}: {len(flaws) - TOLD} more lines cannot be used")


def http_secret(name: str, service: HttpSettings) -> str:
    """Our secret for the service, "" when there is none; ConfigError when it cannot be read."""
    return read_secret(service.secret, f"auth.http.{name}.secret") if service.secret else ""


def known_sources(auth: AuthSettings) -> tuple[str, ...]:
    """The names of the sources that have a section, in the order of the reference."""
    return (
        *(("users",) if auth.users is not None else ()),
        *auth.ldap,
        *auth.http,
        *(("pam",) if auth.pam is not None else ()),
        *auth.oauth,
    )
