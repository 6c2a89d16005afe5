"""Rules about recipients, and what the files and databases they name hold.

`check_recipients` looks at the options alone; `check_known` reads the tables, as `postroad check` and the start of the
server do, and gives every problem the file and line it stands at. Next hops are asked by mail alone.
"""

from collections.abc import Iterator

from postroad.aliases.load import Fault
from postroad.config.checks.aliases import Found, sql_mistakes
from postroad.config.problem import Place, Problem, Warned
from postroad.config.schema import Config
from postroad.config.secrets import read_secret
from postroad.model.errors import ConfigError
from postroad.recipients.listed import parse_addresses
from postroad.recipients.load import load
from postroad.recipients.settings import RecipientSettings

_KINDS = "file, addresses, sql, ldap or call_ahead"


def check_recipients(config: Config) -> Iterator[Problem]:
    """Sections that are of no kind or of several, and options that mean nothing in theirs."""
    for number, entry in enumerate(config.recipients):
        for key, text in _mistakes(entry):
            yield Problem(("recipients", number, *key), text)
        if entry.ldap is not None and entry.ldap.directory not in config.directories:
            known = ", ".join(config.directories) or "none"
            yield Problem(
                ("recipients", number, "ldap", "directory"),
                f'"{entry.ldap.directory}": no such section of [directories]; there are: {known}',
            )
        for at, domain in enumerate(entry.domains):
            if not config.access.is_for_all(domain):
                yield Warned(
                    ("recipients", number, "domains", at),
                    f'"{domain}": access.relay_domains has it not, strangers cannot write there',
                )


def _mistakes(entry: RecipientSettings) -> Iterator[tuple[tuple[str, ...], str]]:
    kinds = entry.kinds
    if not kinds:
        yield (), f"has nobody to ask; give {_KINDS}"
    if len(kinds) > 1:
        yield (kinds[1],), f"{kinds[0]} is given already; a section is one of {_KINDS}"
    for flaw in parse_addresses(entry.addresses).flaws:
        yield ("addresses",), flaw.text
    yield from sql_mistakes(entry.sql, "SELECT 1 FROM users WHERE address = ?")
    if entry.call_ahead is not None and "recipient_delimiter" in entry.model_fields_set:
        yield ("recipient_delimiter",), "means nothing here: the next hop is asked for whole addresses"


def recipient_passwords(config: Config) -> dict[int, str]:
    """The passwords of databases, by section; ConfigError when one cannot be read."""
    return {
        number: read_secret(entry.sql.password, f"recipients[{number}].sql.password")
        for number, entry in enumerate(config.recipients)
        if entry.sql.password
    }


def check_known(config: Config) -> Found:
    """Every problem in the tables, and what is only odd in them."""
    try:
        loaded = load(config.recipients, None, recipient_passwords(config), inspect=True)
    except ConfigError as error:
        return Found([Problem(("recipients",), line) for line in error.problems], [])
    loaded.release()
    return Found(
        [recipient_problem(fault) for fault in loaded.faults if not fault.is_doubt],
        [recipient_problem(fault) for fault in loaded.faults if fault.is_doubt],
    )


def recipient_problem(fault: Fault) -> Problem:
    """The fault as all problems of the configuration are told."""
    place = Place(fault.file, fault.line) if fault.file else None
    return Problem(("recipients", fault.table), fault.text, place)
