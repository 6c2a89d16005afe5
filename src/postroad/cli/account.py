"""`postroad account list | show | hold | release | drop | lock | unlock`: logins that do not behave as usual.

What a held login sends is taken and waits; a locked one cannot log in. The running server decides and tells; orders
hold at once and outlive a restart. Each leaves a record with the name of whoever gave it.
"""

from typing import Annotated

import msgspec
import typer

from postroad.cli.control import ask
from postroad.cli.exits import OK, guarded
from postroad.cli.layout import moment_text, printable
from postroad.cli.options import ConfigFile, Json, configuration
from postroad.desk.guardprotocol import AccountAsked, AccountNow

Login = Annotated[str, typer.Argument(metavar="NAME", help="The login.")]
Because = Annotated[str, typer.Option("--because", metavar="TEXT", help="Why, for whoever looks later.")]


def build() -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(no_args_is_help=True, help="Logins that do not behave as usual.")
    group.command("list")(show_all)
    group.command("show")(show)
    group.command("hold")(hold)
    group.command("release")(release)
    group.command("drop")(drop)
    group.command("lock")(lock)
    group.command("unlock")(unlock)
    return group


@guarded
def show_all(config: ConfigFile = None, as_json: Json = False) -> int:
    """List the logins that are held or locked.

    Example: postroad account list
    """
    *_, answer = ask(configuration(config), AccountAsked(action="list"))
    for one in answer.accounts:
        print(msgspec.json.encode(one).decode() if as_json else _line(one))
    return OK


@guarded
def show(login: Login, config: ConfigFile = None, as_json: Json = False) -> int:
    """Show one login: how it stands, what waits, what it does and what is usual.

    Example: postroad account show ann
    """
    *_, answer = ask(configuration(config), AccountAsked(action="show", login=login))
    for one in answer.accounts:
        if as_json:
            print(msgspec.json.encode(one).decode())
            continue
        print(_line(one))
        for measure, (amount, usual, allowed) in one.amounts.items():
            print(f"  {measure:<15} {amount:.0f}; usual are {usual:.0f}, allowed {allowed:.0f}")
    return OK


@guarded
def hold(login: Login, because: Because = "", config: ConfigFile = None) -> int:
    """Take what a login sends, and hold it.

    Example: postroad account hold ann --because "she reports strange mail"
    """
    return _order("hold", login, because, config)


@guarded
def release(login: Login, because: Because = "", config: ConfigFile = None) -> int:
    """Let what was held go, and what comes, too; what the login did is usual from now on.

    Example: postroad account release ann
    """
    return _order("release", login, because, config)


@guarded
def drop(login: Login, because: Because = "", config: ConfigFile = None) -> int:
    """Throw away what was held of a login; how it stands does not change.

    Example: postroad account drop ann --because "sent by a stranger"
    """
    return _order("drop", login, because, config)


@guarded
def lock(login: Login, because: Because = "", config: ConfigFile = None) -> int:
    """Let a login neither log in nor send. What is held of it stays held.

    Example: postroad account lock ann --because "password was stolen"
    """
    return _order("lock", login, because, config)


@guarded
def unlock(login: Login, because: Because = "", config: ConfigFile = None) -> int:
    """Let it log in and send again.

    Example: postroad account unlock ann
    """
    return _order("unlock", login, because, config)


def _order(action: str, login: str, because: str, config: ConfigFile) -> int:
    *_, answer = ask(configuration(config), AccountAsked(action=action, login=login, reason=because))
    for one in answer.accounts:
        print(_line(one))
    return OK


def _line(one: AccountNow) -> str:
    waits = f", {one.held} recipients wait" if one.held else ""
    if one.account is None:
        return f"{printable(one.login)}  free{waits}"
    account = one.account
    by = f", by {account.by}" if account.by else ""
    since = moment_text(account.since)
    return f"{printable(one.login)}  {account.standing} since {since}{by}: {printable(account.reason)}{waits}"
