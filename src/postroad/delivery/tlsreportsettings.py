"""Options of TLS reports (`[tls_reports]`): who we are to those who get one. RFC 8460 4.4, RFC 8460 5.3.

With the section, what becomes of TLS to the hosts of domains is counted, by policy (DANE, MTA-STS), and once a day told to those
that ask for it in DNS. What others tell us is kept beside it.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

from postroad.model.address import parse_mailbox
from postroad.model.errors import AddressError
from postroad.model.option import Settings
from postroad.policy.settings import DomainPattern


def reporting_mailbox(text: str) -> str:
    """`text` when it is an address that reports can come from and go to; ValueError else."""
    try:
        mailbox = parse_mailbox(text)
    except AddressError as error:
        raise ValueError(f"not an address: {error}") from None
    if not mailbox.domain or mailbox.domain.startswith("[") or not text.isascii():
        raise ValueError('needs a domain, and ASCII alone, like "reports@example.com"')
    return mailbox.text


class TlsReportSettings(Settings):
    """Reports about TLS to the domains that ask for them."""

    from_: Annotated[str, AfterValidator(reporting_mailbox)] = Field(
        alias="from", description="Address that reports come from; its domain is the submitter, and should sign them."
    )
    received_at: tuple[Annotated[str, AfterValidator(reporting_mailbox)], ...] = Field(
        (),
        description="Addresses of ours, named in our own `_smtp._tls` records: reports of others that come there are "
        "kept, and go no further.",
    )
    received_by_https: bool = Field(
        False,
        description="Take reports of others at `/v1/tls-reports` of `[api]`, from anybody; a web server with a certificate "
        "has to stand in front.",
    )
    received_about: tuple[DomainPattern, ...] = Field(
        (),
        description='Domains, or "*.domain" for all below, of which reports are taken by HTTPS; others are refused.',
        json_schema_extra={"default": "`access.relay_domains`"},
    )
    contact: str = Field(
        "",
        description="Whom the readers of a report may ask.",
        max_length=200,
        json_schema_extra={"default": "the address of `from`"},
    )
    organization: str = Field(
        "",
        description="Name of who reports.",
        max_length=200,
        json_schema_extra={"default": "the domain of `from`"},
    )
