"""`postroad rates`: who has used how much of `[[rates]]`, the fullest first, and beginning accounts anew.

The running server is asked; its answer is one moment's. Exit code 66 when there is nothing to show or to begin anew.
"""

from typing import Annotated

import msgspec
import typer

from postroad.cli.control import ask
from postroad.cli.exits import NO_INPUT, OK, complain, guarded
from postroad.cli.layout import printable
from postroad.cli.options import ConfigFile, Json, configuration
from postroad.desk.protocol import RateNow, RatesAsked

_BAR = 10


@guarded
def rates(
    login: Annotated[str, typer.Option("--login", metavar="NAME", help="Accounts of this login alone.")] = "",
    rate: Annotated[str, typer.Option("--rate", metavar="NAME", help="Accounts of this rate alone.")] = "",
    account: Annotated[
        str, typer.Option("--account", metavar="TEXT", help="The accounts called so, as they are shown.")
    ] = "",
    most: Annotated[int, typer.Option("--most", metavar="N", help="So many at most.", min=1, max=1000)] = 50,
    reset: Annotated[bool, typer.Option("--reset", help="Begin them anew: nothing is used up any more.")] = False,
    because: Annotated[str, typer.Option("--because", metavar="TEXT", help="Why, for the record of a reset.")] = "",
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Show how much of the limits of [[rates]] is used up, by whom; or let somebody begin anew.

    Example: postroad rates --login alice --reset --because "the newsletter was agreed on"
    """
    if reset and not (login or rate or account):
        raise typer.BadParameter("name a --login, a --rate or an --account", param_hint="--reset")
    asked = RatesAsked(rate=rate, login=login, account=account, most=most, reset=reset, reason=because)
    *_, answer = ask(configuration(config), asked)
    if reset:
        print(f"{answer.begun_anew} {'account' if answer.begun_anew == 1 else 'accounts'} begun anew")
        return OK if answer.begun_anew else NO_INPUT
    for one in answer.rates:
        print(msgspec.json.encode(one).decode() if as_json else _line(one))
    if not answer.rates:
        complain("nothing is used up")
        return NO_INPUT
    return OK


def _line(one: RateNow) -> str:
    share = one.used / one.count
    bar = "#" * min(round(share * _BAR), _BAR)
    whose = f"{', '.join(one.per)} {printable(one.account)}" if one.account else "all"
    return f"{share:>5.0%} {bar:<{_BAR}} {one.used}/{one.count} {one.counted} in {one.label}  {one.rate}  {whose}"
