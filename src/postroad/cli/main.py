"""The `postroad` command: every command put together, and the entry point.

Usage errors leave with 64 (EX_USAGE); the other codes are those of `cli.exits`.
"""

import sys
from importlib.util import find_spec
from typing import Annotated, Final

import typer

from postroad import VERSION
from postroad.cli import (
    account,
    acme,
    bans,
    check,
    dkim,
    dmarcreports,
    doctor,
    init,
    key,
    rates,
    reload,
    serve,
    spool,
    tls,
    upgrade,
    user,
)
from postroad.cli.exits import USAGE
from postroad.cli.explain import command as explain
from postroad.cli.map import look_into
from postroad.cli.postfix import importing
from postroad.cli.queue import command as queue

_TYPER_USAGE: Final = 2  # what typer leaves with when the command line is wrong


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"postroad {VERSION}{' (compiled)' if _is_compiled() else ''}")
        raise typer.Exit


def _is_compiled() -> bool:
    """True when what every message passes is machine code (decision 19)."""
    spec = find_spec("postroad.smtp.server")
    return spec is not None and str(spec.origin).endswith(".so")


def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Postroad, an email relay server.

    Example: postroad serve -c /etc/postroad/postroad.toml
    """


def build() -> typer.Typer:
    """The program with all its commands."""
    program = typer.Typer(
        name="postroad",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    program.callback()(_program)
    program.command("serve")(serve.serve)
    program.command("check")(check.check)
    program.command("doctor")(doctor.doctor)
    program.command("init")(init.init)
    program.command("reload")(reload.reload)
    program.command("upgrade")(upgrade.upgrade)
    program.command("explain")(explain.explain)
    program.command("map")(look_into)
    program.command("key")(key.make)
    program.command("rates")(rates.rates)
    program.add_typer(acme.build(), name="acme")
    program.add_typer(bans.build(), name="bans")
    program.add_typer(account.build(), name="account")
    program.add_typer(dkim.build(), name="dkim")
    program.add_typer(dmarcreports.build(), name="dmarc")
    program.add_typer(importing.build(), name="import")
    program.add_typer(queue.build(), name="queue")
    program.add_typer(spool.build(), name="spool")
    program.add_typer(tls.build(), name="tls")
    program.add_typer(user.build(), name="user")
    return program


def main() -> None:
    """Run the command line of this process and leave with its exit code."""
    try:
        build()(prog_name="postroad")
    except SystemExit as leaving:
        sys.exit(USAGE if leaving.code == _TYPER_USAGE else leaving.code)
