"""`postroad map`: ask one table one question, as `postmap -q` does.

What is asked is a key as it stands: no sub-address is taken off, no catch-all is tried, nothing is expanded; for
that there is `postroad explain`.
"""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from postroad.aliases.files import FileTable
from postroad.aliases.load import Fault, load
from postroad.aliases.table import Find, Found
from postroad.aliases.text import key_of
from postroad.cli.exits import NO_INPUT, OK, guarded
from postroad.cli.options import ConfigFile, configuration
from postroad.config.checks.aliases import passwords_of, problem_of
from postroad.config.problem import render
from postroad.model.address import parse_domain, parse_mailbox
from postroad.model.errors import AddressError, ConfigError

REGEXP = "regexp:"


@guarded
def look_into(
    table: Annotated[
        str,
        typer.Argument(
            metavar="TABLE",
            help='A file, "regexp:FILE" for regular expressions, or the number of a table of the configuration.',
        ),
    ],
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help='An address, or "@domain".')],
    config: ConfigFile = None,
) -> int:
    """Print what a table of aliases has for an address; exit code 66 when it has nothing.

    Example: postroad map /etc/postroad/virtual info@example.com
    """
    found = asyncio.run(_ask(table, address, config))
    if found is None:
        return NO_INPUT
    print(", ".join(found))
    return OK


async def _ask(table: str, address: str, config: Path | None) -> Found:
    if not table.isdigit():
        path = Path(table.removeprefix(REGEXP))
        file = FileTable(path, is_regexp=table.startswith(REGEXP))
        flaws = [Fault(0, flaw.text, str(path), flaw.line) for flaw in file.load().flaws]
        if flaws:
            raise ConfigError([f"{fault.file}:{fault.line}: {fault.text}" for fault in flaws])
        return await _answer(file.find, address, is_whole=table.startswith(REGEXP))
    whole = configuration(config)
    settings = whole.aliases
    number = int(table)
    if number >= len(settings):
        raise AddressError(f"there is no aliases[{number}]; there are {len(settings)}, counted from 0")
    tables = load(settings[number : number + 1], {0: passwords_of(whole).get(number, "")})
    try:
        if broken := [problem_of(fault) for fault in tables.faults if not fault.is_doubt]:
            raise ConfigError([render(problem, {}) for problem in broken])
        return await _answer(tables.tables[0].find, address, is_whole=tables.tables[0].is_whole)
    finally:
        tables.close()


async def _answer(find: Find, address: str, *, is_whole: bool) -> Found:
    if address.startswith("@"):
        key = "@" + parse_domain(address[1:])
    else:
        mailbox = parse_mailbox(address)
        key = mailbox.text if is_whole else key_of(mailbox)
    found = find(key)
    return found if isinstance(found, tuple) or found is None else await found
