"""Options of recipients (`[[recipients]]`): who exists in which domains, and who is asked about it.

Each section is of one kind: a file, addresses in the configuration, a database, a directory, or the next hop.
What the kinds need of one another is checked in config/checks/recipients.py.
"""

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from postroad.aliases.settings import SqlSettings, delimiter
from postroad.model.address import parse_mailbox
from postroad.model.errors import AddressError
from postroad.model.option import Duration, Settings
from postroad.model.route import CAPTURE
from postroad.net.ldap.filters import escape_filter, fill, pack_filter
from postroad.policy.settings import DomainPattern
from postroad.routing.lanes import parse_next_hop

ACCEPT: Final = "accept"
DEFER: Final = "defer"


def _sender(text: str) -> str:
    if not text:
        return text
    try:
        if not parse_mailbox(text).domain:
            raise AddressError("it has no domain")
    except AddressError as error:
        raise ValueError(f'not an address: {error}; write "probe@example.com", or "" for the null sender') from None
    return text


def _next_hop(text: str) -> str:
    if parse_next_hop(text).scheme == CAPTURE:
        raise ValueError('"capture:" cannot be asked; write "smtp://host:port"')
    return text


class KnownSqlSettings(SqlSettings):
    """A query to a database."""

    query: str = Field(
        "",
        description='One SELECT with one "?" (PostgreSQL: "$1") for the address, or for "@domain": any row means that '
        "it exists.",
    )


class CallAheadSettings(Settings):
    """Asking the next hop by RCPT, without sending anything."""

    next_hops: tuple[Annotated[str, AfterValidator(_next_hop)], ...] = Field(
        (),
        description='Whom to ask, the first that answers: "smtp://host:port" and more, as in a route.',
        json_schema_extra={"default": "where the mail would go"},
    )
    sender: Annotated[str, AfterValidator(_sender)] = Field(
        "",
        description="MAIL FROM of the question, where a next hop does not take the null sender.",
        json_schema_extra={"default": "the null sender, `<>`"},
    )
    timeout: Duration = Field("10s", description="Time for one answer, waiting for a turn included.", gt=0, le=25)
    questions: int = Field(10, description="Questions under way at the same time; others wait.", ge=1, le=1000)
    known_for: Duration = Field("1d", description="How long a yes is remembered.", ge=1, le=31 * 86400)
    unknown_for: Duration = Field("10m", description="How long a no is remembered.", ge=1, le=86400)
    cache_size: int = Field(
        50_000, description="How many yes are remembered at most, and how many no.", ge=1, le=10_000_000
    )
    when_unclear: Literal["defer", "accept"] = Field(
        "defer",
        description="When the next hop says neither yes nor no: defer (451 4.3.0), or accept and let the queue find out.",
    )


def _filter(text: str) -> str:
    if "{address}" not in text:
        raise ValueError('has no {address}; write it like "(mail={address})"')
    pack_filter(fill(text, {"address": "a@example.com"}, escape_filter))
    return text


class LdapSettings(Settings):
    """A search in a directory."""

    directory: str = Field(description="Name of a section of `[directories]`.")
    base: str = Field(
        description='Where the search begins, like "dc=example,dc=com"; all below is found.', min_length=1
    )
    filter: Annotated[str, AfterValidator(_filter)] = Field(
        "(|(mail={address})(proxyAddresses=smtp:{address}))",
        description="What an entry must have; any entry means that {address} exists.",
    )
    known_for: Duration = Field("5m", description="How long a yes is remembered.", ge=1, le=86400)
    unknown_for: Duration = Field("1m", description="How long a no is remembered.", ge=1, le=86400)
    cache_size: int = Field(
        50_000, description="How many yes are remembered at most, and how many no.", ge=1, le=10_000_000
    )


class RecipientSettings(Settings):
    """Who exists in some domains."""

    domains: tuple[DomainPattern, ...] = Field(
        description='Domains whose other names are refused at RCPT (550 5.1.1), "*.example.com" for all below.',
        min_length=1,
    )
    file: str = Field(
        "",
        description='A file with an address, or "@domain" for every name there, on each line; read again when it changes.',
    )
    addresses: tuple[str, ...] = Field((), description='Addresses written here, or "@domain" for every name there.')
    sql: KnownSqlSettings = Field(
        KnownSqlSettings(), description="A query to a database.", json_schema_extra={"default": "none"}
    )
    ldap: LdapSettings | None = Field(
        None, description="A search in a directory.", json_schema_extra={"default": "none"}
    )
    call_ahead: CallAheadSettings | None = Field(
        None, description="Ask the next hop.", json_schema_extra={"default": "none"}
    )
    recipient_delimiter: Annotated[str, AfterValidator(delimiter)] = Field(
        "+",
        description='What parts user+detail: it exists when user does; "" for no such parts. A next hop is always '
        "asked for the whole.",
    )

    @property
    def kinds(self) -> tuple[str, ...]:
        """The names of the kinds that are given; one in a sound section."""
        given = (
            ("file", self.file),
            ("addresses", self.addresses),
            ("sql", self.sql.database or self.sql.query),
            ("ldap", self.ldap),
            ("call_ahead", self.call_ahead),
        )
        return tuple(name for name, value in given if value)

    def anchored(self, folder: Path) -> "RecipientSettings":
        """The same, with a relative file taken from `folder`."""
        if not self.file:
            return self
        return self.model_copy(update={"file": str((folder / Path(self.file).expanduser()).absolute())})
