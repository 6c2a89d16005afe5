"""Options of aggregate reports about DMARC (`[dmarc_reports]`): those of others that come to us.

Without the section nobody looks for any. RFC 7489 7.2.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

from postroad.delivery.tlsreportsettings import reporting_mailbox
from postroad.model.option import Settings


class DmarcReportSettings(Settings):
    """Reports about mail in the name of domains."""

    received_at: tuple[Annotated[str, AfterValidator(reporting_mailbox)], ...] = Field(
        (),
        description="Addresses of ours, named in `rua` of our own DMARC records: reports of others that come there are "
        "kept, and go no further.",
    )
