"""Options of reports about DMARC (`[dmarc_reports]`): ours to others, and those of others to us.

Without `from` nothing is counted and nobody told; without `received_at` nobody looks for reports. RFC 7489 7.2,
RFC 7489 7.3 (failures).
"""

from typing import Annotated

from pydantic import AfterValidator, Field

from postroad.delivery.tlsreportsettings import reporting_mailbox
from postroad.model.option import Settings


class DmarcReportSettings(Settings):
    """Reports about mail in the name of domains."""

    from_: Annotated[str, AfterValidator(reporting_mailbox)] | None = Field(
        None,
        alias="from",
        description="Address that reports come from; its domain is the submitter, and should sign them. With it, what "
        "the policy `dmarc` finds out is counted, and told once a day to the domains that ask for it.",
        json_schema_extra={"default": "nothing is counted, and nobody told"},
    )
    received_at: tuple[Annotated[str, AfterValidator(reporting_mailbox)], ...] = Field(
        (),
        description="Addresses of ours, named in `rua` of our own DMARC records: reports of others that come there are "
        "kept, and go no further.",
    )
    contact: str = Field("", description="How the readers of a report reach you, if not by `from`.", max_length=200)
    organization: str = Field(
        "",
        description="Name of who reports.",
        max_length=200,
        json_schema_extra={"default": "the domain of `from`"},
    )
    failures: int = Field(
        0,
        ge=0,
        le=1000,
        description="Failure reports (`ruf`) about one domain a day at most: each tells at once of one message that was "
        "not proven, with parts of its header and without its recipients.",
        json_schema_extra={"default": "0: none are sent"},
    )
