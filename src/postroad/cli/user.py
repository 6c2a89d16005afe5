"""`postroad user`: who may log in, in the users file of the configuration.

Every change replaces the file in one step, under a lock; a running server reads it again within seconds. Passwords are
asked for, or read from standard input, never taken from the command line, where everybody could see them.
"""

import base64
import secrets
import sys
from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from postroad.auth import useredit
from postroad.auth.settings import UsersSettings
from postroad.auth.useredit import Means
from postroad.auth.userlines import Attributes, LineError, check_word, end_of, key_of, last_day, show_line
from postroad.auth.usertable import User, Users
from postroad.cli.exits import NO_INPUT, OK, USAGE, complain, guarded
from postroad.cli.options import ConfigFile, Json, configuration
from postroad.cli.userlist import print_users
from postroad.config.schema import Config
from postroad.house.identities import HASHING
from postroad.model.errors import ConfigError
from postroad.model.option import parse_duration
from postroad.net.clock import SystemClock
from postroad.net.process.rights import ids_of, is_root
from postroad.store.tablefile import TableFileError
from postroad.store.usersfile import locked, read_users, write_users

SALT_OCTETS: Final = 16
APP_OCTETS: Final = 15  # of chance in an app password: 24 letters

Name = Annotated[str, typer.Argument(metavar="NAME", help="The login.")]
FromStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]
Addresses = Annotated[
    list[str] | None,
    typer.Option("--address", metavar="ADDRESS", help='May send as this address, or as "@domain"; can be repeated.'),
]
Groups = Annotated[list[str] | None, typer.Option("--group", metavar="NAME", help="Is in this group; can be repeated.")]
Label = Annotated[str, typer.Option("--label", metavar="LABEL", help="What it is for, like the device's name.")]
Expires = Annotated[
    str, typer.Option("--expires", metavar="WHEN", help='Last day, like 2027-01-31, or from now, like "90d".')
]


def build() -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(help="See and change who may log in.", no_args_is_help=True, rich_markup_mode=None)
    group.command("add")(add)
    group.command("passwd")(passwd)
    group.command("set")(set_user)
    group.command("list")(list_users)
    group.command("delete")(delete)
    group.command("app-password")(app_password)
    group.command("lock")(lock)
    group.command("unlock")(unlock)
    return group


@guarded
def add(
    name: Name,
    password_stdin: FromStdin = False,
    address: Addresses = None,
    group: Groups = None,
    expires: Expires = "",
    config: ConfigFile = None,
) -> int:
    """Add a user with a password.

    Example: postroad user add alice --address alice@example.com --group staff
    """
    whole = configuration(config)

    def change(text: str, users: Users, settings: UsersSettings) -> str:
        if key_of(name) in users.users:
            raise LineError(f"{name} is there already; `postroad user passwd {name}` changes the password")
        secret = _password(password_stdin)
        said = Attributes(expires=_day(expires))
        text = useredit.put(text, [show_line(name, one, said) for one in _new(secret, None, settings)])
        user = useredit.read(text).users[key_of(name)]
        return useredit.with_about(text, user, addresses=tuple(address or ()), groups=tuple(group or ()))

    return _edit(whole, change)


@guarded
def passwd(name: Name, password_stdin: FromStdin = False, expires: Expires = "", config: ConfigFile = None) -> int:
    """Change the password of a user; app passwords stay.

    Example: postroad user passwd alice
    """
    whole = configuration(config)

    def change(text: str, users: Users, settings: UsersSettings) -> str:
        _known(users, name)
        secret = _password(password_stdin)
        text = useredit.without(text, name, lambda line: line.credential is not None and not line.attributes.app)
        user = useredit.read(text).users.get(key_of(name))  # with what is left: its app passwords
        said = Attributes(expires=_day(expires))
        return useredit.put(text, [show_line(name, one, said) for one in _new(secret, user, settings)])

    return _edit(whole, change)


@guarded
def set_user(
    name: Name,
    address: Addresses = None,
    group: Groups = None,
    strong: Annotated[
        bool | None,
        typer.Option(
            "--strong/--no-strong", help="May not send a password: SCRAM or a certificate.", show_default=False
        ),
    ] = None,
    config: ConfigFile = None,
) -> int:
    """Change what is said of a user; addresses or groups that are given replace those before, "" alone means none.

    Example: postroad user set alice --address alice@example.com --address @sales.example.com
    """
    given: dict[str, object] = {}
    if address is not None:
        given["addresses"] = tuple(filter(None, address))
    if group is not None:
        given["groups"] = tuple(filter(None, group))
    if strong is not None:
        given["strong"] = strong

    def change(text: str, users: Users, _settings: UsersSettings) -> str:
        return useredit.with_about(text, _known(users, name), **given)

    return _edit(configuration(config), change)


@guarded
def app_password(
    name: Name,
    label: Annotated[
        str, typer.Option("--label", metavar="LABEL", help="What it is for, like the device's name.")
    ] = "",
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="LISTENER", help="Good for this listener alone; can be repeated."),
    ] = None,
    address: Addresses = None,
    expires: Expires = "",
    config: ConfigFile = None,
) -> int:
    """Make a password for one device or program of a user, and print it this once.

    Example: postroad user app-password alice --label scanner --scope submission --expires 365d
    """
    whole = configuration(config)
    for listener in scope or ():
        if listener not in whole.listeners:
            there = ", ".join(whole.listeners)
            raise typer.BadParameter(f"there is no listener {listener}; there are: {there}")
    secret = base64.b32encode(secrets.token_bytes(APP_OCTETS)).decode().lower()
    secret = "-".join(secret[at : at + 6] for at in range(0, len(secret), 6))

    def change(text: str, users: Users, settings: UsersSettings) -> str:
        user = _known(users, name)
        taken = {one.attributes.app for one in user.passwords}
        chosen = label or next(f"app{at}" for at in range(1, len(taken) + 2) if f"app{at}" not in taken)
        check_word(chosen)
        if chosen in taken:
            raise LineError(f"{name} has an app password {chosen} already")
        until = _day(expires)
        if until and until <= SystemClock().now():
            raise LineError(f"--expires {expires}: that day is over; nobody could log in with this password")
        said = Attributes(app=chosen, scope=tuple(scope or ()), expires=until, addresses=tuple(address or ()))
        forms = useredit.app_credentials(secret, user, _means(settings))
        return useredit.put(text, [show_line(name, one, said) for one in forms])

    code = _edit(whole, change)
    if code == OK:
        print(secret)
    return code


@guarded
def delete(
    name: Name,
    app: Annotated[
        str, typer.Option("--app", metavar="LABEL", help="Delete this app password alone.", show_default=False)
    ] = "",
    config: ConfigFile = None,
) -> int:
    """Delete a user, or one of their app passwords.

    Example: postroad user delete alice --app scanner
    """

    def change(text: str, users: Users, _settings: UsersSettings) -> str:
        user = _known(users, name)
        if not app:
            return useredit.without(text, name)
        if all(one.attributes.app != app for one in user.passwords):
            raise KeyError(f"{name} has no app password {app}")
        return useredit.without(text, name, lambda line: line.attributes.app == app)

    return _edit(configuration(config), change)


@guarded
def lock(name: Name, config: ConfigFile = None) -> int:
    """Let a user log in no more; everything else about them stays.

    Example: postroad user lock alice
    """
    return _edit(configuration(config), partial(_locked, name, True))


@guarded
def unlock(name: Name, config: ConfigFile = None) -> int:
    """Let a user who was locked log in again.

    Example: postroad user unlock alice
    """
    return _edit(configuration(config), partial(_locked, name, False))


@guarded
def list_users(config: ConfigFile = None, as_json: Json = False) -> int:
    """List the users, what they can log in with, and what is said of them; broken lines go to standard error.

    Example: postroad user list
    """
    settings = _settings(configuration(config))
    users = useredit.read(_text(settings.file, must_be_there=True))
    print_users(users, SystemClock().now(), as_json=as_json)
    for flaw in users.flaws:
        complain(f"{settings.file}:{flaw.line}: {flaw.text}")
    return OK


def _locked(name: str, locked: bool, text: str, users: Users, _settings: UsersSettings) -> str:
    return useredit.with_about(text, _known(users, name), locked=locked)


# -- the parts of a change -------------------------------------------------------------------------


def _edit(config: Config, change: Callable[[str, Users, UsersSettings], str]) -> int:
    """Read the file, change its text, write it; nobody else does meanwhile."""
    settings = _settings(config)
    group = _group(config)
    try:
        with locked(settings.file):
            text = _text(settings.file, must_be_there=False)
            users = useredit.read(text)
            changed = change(text, users, settings)
            if len(flaws := useredit.read(changed).flaws) > len(users.flaws):
                raise LineError(flaws[-1].text)
            write_users(settings.file, changed, group=group)
    except LineError as error:
        complain(str(error))
        return USAGE
    except KeyError as error:
        complain(str(error.args[0]))
        return NO_INPUT
    return OK


def _group(config: Config) -> int:
    """Whose group a new file belongs to, so that the server can read it: that of its user, or of its data; -1: ours."""
    if not is_root():
        return -1
    if config.process.user:
        return ids_of(config.process.user)[1]
    return config.data_dir.stat().st_gid if config.data_dir.is_dir() else -1


def _settings(config: Config) -> UsersSettings:
    if config.auth.users is None:
        raise ConfigError(['auth.users: there is no users file; write: [auth.users] and file = "/etc/postroad/users"'])
    return config.auth.users


def _text(file: Path, *, must_be_there: bool) -> str:
    if not must_be_there and not file.exists():
        return ""
    try:
        return read_users(file)
    except TableFileError as error:
        raise ConfigError([f"{file} {error}"]) from None


def _known(users: Users, name: str) -> User:
    user = users.users.get(key_of(name))
    if user is None:
        raise KeyError(f"there is no user {name}")
    return user


def _means(settings: UsersSettings) -> Means:
    return Means(settings.scram, settings.scram_rounds, secrets.token_bytes(SALT_OCTETS), HASHING.load().hash)


def _new(secret: str, user: User | None, settings: UsersSettings) -> list[str]:
    return useredit.credentials(secret, user, _means(settings))


def _password(from_stdin: bool) -> str:
    if from_stdin:
        secret = sys.stdin.readline().rstrip("\r\n")
    elif sys.stdin.isatty():
        secret = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        raise LineError("there is no terminal to ask for the password; use --password-stdin")
    if not secret or "\0" in secret:
        raise LineError("the password is empty or has NUL")
    return secret


def _day(text: str) -> int:
    """The instant at which the day `text` is over, 0 for ""."""
    if not text:
        return 0
    try:
        return end_of(date.fromisoformat(text))
    except ValueError:
        pass
    try:
        days = timedelta(seconds=parse_duration(text))
        return end_of(last_day(SystemClock().now() + 1) + days)
    except (ValueError, OverflowError):
        raise LineError(f'--expires {text}: write a day like 2027-01-31, or from now, like "90d"') from None
