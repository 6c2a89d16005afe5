"""`postroad bans list | add | remove`: who may not connect for a while.

The running server decides and tells; orders hold at once and outlive a restart. Each leaves a record with the name of
whoever gave it.
"""

from typing import Annotated

import msgspec
import typer

from postroad.cli.control import ask
from postroad.cli.exits import NO_INPUT, OK, complain, guarded
from postroad.cli.layout import moment_text
from postroad.cli.options import ConfigFile, Json, configuration
from postroad.desk.guardprotocol import BanNow, BansAsked
from postroad.model.option import NEVER, parse_duration

_SECOND = 1_000_000  # microseconds

Network = Annotated[str, typer.Argument(metavar="NETWORK", help="An address, or a network like 192.0.2.0/24.")]


def build() -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(no_args_is_help=True, help="Who may not connect for a while.")
    group.command("list")(show)
    group.command("add")(add)
    group.command("remove")(remove)
    return group


@guarded
def show(
    network: Annotated[
        str, typer.Argument(metavar="[NETWORK]", help="Only bans in this network, or around it.", show_default=False)
    ] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="So many at most.")] = 1000,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """List the bans in force.

    Example: postroad bans list 192.0.2.7
    """
    *_, answer = ask(configuration(config), BansAsked(action="list", network=network, limit=limit))
    for ban in answer.bans:
        print(msgspec.json.encode(ban).decode() if as_json else _line(ban))
    return OK


@guarded
def add(
    network: Network,
    duration: Annotated[
        str, typer.Option("--for", metavar="DURATION", help='How long; "never" ends by remove alone.')
    ] = "1d",
    config: ConfigFile = None,
) -> int:
    """Let nobody in a network connect. An address of IPv6 stands for its /64.

    Example: postroad bans add 192.0.2.0/24 --for 7d
    """
    try:
        seconds = parse_duration(duration)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--for") from None
    if seconds < 1:
        raise typer.BadParameter("it must be a second or longer", param_hint="--for")
    asked = BansAsked(action="add", network=network, seconds=0 if seconds == NEVER else seconds)
    *_, answer = ask(configuration(config), asked)
    for ban in answer.bans:
        print(f"banned {_line(ban)}")
    return OK


@guarded
def remove(network: Network, config: ConfigFile = None) -> int:
    """End the bans of a network and of all that is in it, and forget what led to them. Exit code 66 when there is none.

    Example: postroad bans remove 192.0.2.7
    """
    settings = configuration(config)
    *_, answer = ask(settings, BansAsked(action="remove", network=network))
    for ban in answer.bans:
        print(f"unbanned {ban.network}")
    *_, left = ask(settings, BansAsked(action="list", network=network))
    for ban in left.bans:
        complain(f"still banned: {_line(ban)}")
    if not answer.bans:
        complain(f"no ban is in {network}")
        return NO_INPUT
    return OK


def _line(ban: BanNow) -> str:
    until = f"until {moment_text(ban.until * _SECOND)}" if ban.until else "until it is removed"
    return f"{ban.network}  {until}  {ban.kind}, time {ban.times}"
