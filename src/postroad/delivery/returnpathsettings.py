"""Options of the reverse-paths that mail leaves with: `[srs]` for mail of others, `[batv]` and `[verp]` for our own.

SRS and BATV rest on a secret that all servers of one relay share, and that can be changed: what was signed by the old
one is known as long as it is named.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

from postroad.model.option import Secret, SecretText, Settings
from postroad.policy.mailboxes import compile_mailboxes
from postroad.policy.settings import DomainName, DomainPattern


def _pattern(text: str) -> str:
    compile_mailboxes([text])
    return text


class SrsSettings(Settings):
    """Mail of other domains that goes on to other domains leaves with a reverse-path of ours."""

    domain: DomainName = Field(
        description="Domain of those reverse-paths; its MX must lead here, and its SPF record allow us."
    )
    secret: SecretText = Field(description="What they are signed with.")
    old_secret: SecretText = Field(Secret(), description="What they were signed with before the secret was changed.")
    days: int = Field(21, description="How many days reports may come back by one.", ge=2, le=1000)
    exempt: tuple[DomainPattern, ...] = Field(
        (), description="Domains of senders that stay as they are, beside access.relay_domains."
    )


class BatvSettings(Settings):
    """Senders of ours leave with a tag, and reports to them must have it."""

    domains: tuple[DomainPattern, ...] = Field(
        description="Domains of ours all of whose mail leaves by this relay.", min_length=1
    )
    secret: SecretText = Field(description="What tags are signed with.")
    old_secret: SecretText = Field(Secret(), description="What they were signed with before the secret was changed.")
    days: int = Field(7, description="How many days reports may come back.", ge=2, le=900)
    refuse: bool = Field(False, description="Refuse reports (550 5.7.1) to senders without a tag of ours.")


class VerpSettings(Settings):
    """Mail of some senders of ours leaves one by one, with a reverse-path that names the recipient."""

    senders: tuple[Annotated[str, AfterValidator(_pattern)], ...] = Field(
        description="Whose mail: addresses or domains of ours, with `*` for any part, as in rules.", min_length=1
    )
    delimiters: str = Field(
        "+=",
        description="What stands between sender and recipient, and in place of its at sign.",
        pattern=r"^[-+=._#]{2}$",
    )
