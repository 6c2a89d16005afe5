"""Options of aliases (`[[aliases]]`): tables that turn a recipient into others, asked in order.

Each table is of one kind: a file, a file of regular expressions, entries in the configuration, or a query to a
database. What the kinds need of one another is checked in config/checks/aliases.py.
"""

from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Field

from postroad.model.option import Duration, Secret, SecretText, Settings
from postroad.policy.settings import DomainPattern

DELIMITERS = "+-=_.#!$%&'*/?^`{|}~"
SQLITE = "sqlite://"
POSTGRES = "postgresql://"


def delimiter(text: str) -> str:
    """`text`, when it can part user and detail."""
    if len(text) > 1 or (text and text not in DELIMITERS):
        raise ValueError(f'a delimiter is one of {DELIMITERS}, or "" for none')
    return text


def shows_password(text: str) -> bool:
    """True when the database `text` has a password in it, be the rest sound or not."""
    if text.startswith(SQLITE):
        return False
    names = {name for name, _ in parse_qsl(text.partition("?")[2], keep_blank_values=True)}
    return ":" in text.partition("://")[2].rpartition("@")[0] or not names.isdisjoint(("password", "sslpassword"))


def _database(text: str) -> str:
    if shows_password(text):
        return text  # refused in config/checks/aliases.py, whose words do not repeat it
    if text.startswith(POSTGRES):
        address = urlsplit(text)
        if not address.hostname or address.path in ("", "/"):
            raise ValueError('not a database; write "postgresql://user@host:5432/name"')
        return text
    if text and not (text.startswith(SQLITE) and Path(text.removeprefix(SQLITE)).is_absolute()):
        raise ValueError('not a database; write "sqlite:///path/to/file.db" or "postgresql://user@host:5432/name"')
    return text


class SqlSettings(Settings):
    """A table in a database."""

    database: Annotated[str, AfterValidator(_database)] = Field(
        "", description='Where: "sqlite:///path" or "postgresql://user@host:port/name"; only ever read.'
    )
    query: str = Field(
        "",
        description='One SELECT with one "?" (PostgreSQL: "$1") for the address, or for "@domain": each row gives '
        "addresses parted by commas.",
    )
    password: SecretText = Field(
        Secret(), description="Password for PostgreSQL.", json_schema_extra={"default": "none"}
    )
    timeout: Duration = Field(
        "10s", description="Time for one answer; after it mail is deferred (451 4.3.0).", gt=0, le=60
    )


class AliasSettings(Settings):
    """One table."""

    file: str = Field(
        "",
        description='A file of lines "address  address, address", as Postfix\'s virtual(5); read again when it changes.',
    )
    regexp: str = Field(
        "", description='A file of lines "/pattern/  address, address" with $1 for groups; read again when it changes.'
    )
    entries: dict[str, tuple[str, ...]] = Field(
        {},
        description='Entries written here: "address" = ["address", "address"].',
        json_schema_extra={"default": "`{}`"},
    )
    sql: SqlSettings = Field(SqlSettings(), description="A query to a database.", json_schema_extra={"default": "none"})
    domains: tuple[DomainPattern, ...] = Field(
        (), description='Domains whose recipients are looked up here, "*.example.com" for all below; none given: all.'
    )
    strict: bool = Field(
        False,
        description="Refuse other names in these domains, and in those a file names alone on a line's left, at RCPT (550 5.1.1).",
    )
    recipient_delimiter: Annotated[str, AfterValidator(delimiter)] = Field(
        "+",
        description='What parts user+detail: without an entry of its own it is looked up as user; "" for no such parts.',
    )

    @property
    def kinds(self) -> tuple[str, ...]:
        """The names of the kinds that are given; one in a sound table."""
        given = (("file", self.file), ("regexp", self.regexp), ("entries", self.entries), ("sql", self.sql.database))
        return tuple(name for name, value in given if value)

    def anchored(self, folder: Path) -> "AliasSettings":
        """The same, with relative files taken from `folder`."""
        named = {name: getattr(self, name) for name in ("file", "regexp") if getattr(self, name)}
        return self.model_copy(
            update={name: str((folder / Path(text).expanduser()).absolute()) for name, text in named.items()}
        )
