"""Aggregate reports about DMARC as values: what one organisation saw of mail in the name of a domain. Pure.

Ours and those of others have the same form, so that what is written can be read back. Counts are of messages, times in
seconds since 1970, words such as "pass" as the schema has them. RFC 7489 7.2, RFC 7489 appendix C.
"""

from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

LATEST: Final = 253_402_300_799  # the last second of the year 9999


class DkimResult(Struct, frozen=True):
    """What came of one signature."""

    domain: str
    selector: str = ""
    result: str = "none"


class SpfResult(Struct, frozen=True):
    """What came of SPF; `scope` is "mfrom" or "helo"."""

    domain: str
    scope: str = "mfrom"
    result: str = "none"


class Override(Struct, frozen=True):
    """Why something else was done than the policy asks for; `kind` is a word of the schema."""

    kind: str
    comment: str = ""


class Seen(Struct, frozen=True):
    """What is the same in all messages of one row.

    `disposition` is what was done ("none", "quarantine", "reject"); `dkim` and `spf` say whether an aligned identifier
    passed ("pass", "fail").
    """

    source_ip: str
    disposition: str
    dkim: str
    spf: str
    header_from: str
    envelope_from: str = ""
    envelope_to: str = ""
    overrides: tuple[Override, ...] = ()
    signatures: tuple[DkimResult, ...] = ()
    senders: tuple[SpfResult, ...] = ()

    @property
    def is_proven(self) -> bool:
        """True when SPF or DKIM proves the author's domain."""
        return "pass" in (self.dkim, self.spf)


class Row(Struct, frozen=True):
    """How many messages were alike."""

    seen: Seen
    count: int


class Published(Struct, frozen=True):
    """The policy that was found in DNS, of `domain`; what a record does not say is ""."""

    domain: str
    policy: str
    sub_policy: str = ""
    missing_policy: str = ""
    dkim_alignment: str = ""
    spf_alignment: str = ""
    percent: str = ""
    testing: str = ""
    failures: str = ""


class DmarcReport(Struct, frozen=True):
    """A whole report: who made it, about which time (`begin` to `end`), policy and mail."""

    organization: str
    email: str
    id: str
    begin: int
    end: int
    published: Published
    rows: tuple[Row, ...]
    contact: str = ""
    errors: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """How many messages it tells of."""
        return sum(row.count for row in self.rows)

    @property
    def passed(self) -> int:
        """How many of them DMARC took for the domain's own."""
        return sum(row.count for row in self.rows if row.seen.is_proven)


def day_text(at: int) -> str:
    """The day of a time in UTC, as in "2026-03-02"."""
    return datetime.fromtimestamp(min(at, LATEST), UTC).strftime("%Y-%m-%d")
