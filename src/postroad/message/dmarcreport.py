"""Aggregate reports about DMARC as values: what one organisation saw of mail in the name of a domain. Pure.

Ours and those of others have the same form, so that what is written can be read back. Counts are of messages, times in
seconds since 1970, words such as "pass" as the schema has them. RFC 7489 7.2, RFC 7489 appendix C.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from postroad.message.dmarcfailure import Failure

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


class Tally:
    """Counts what is seen until somebody takes it; at most `most` different things.

    `tell` hears of each message that somebody may want to be told of at once; None when nobody sends such reports.
    """

    def __init__(self, most: int, ignored: frozenset[str] = frozenset()) -> None:
        """Nothing was seen yet; with `most` 0 nothing ever is. Mail to those of `ignored` brings reports itself."""
        self._most = most
        self._ignored = ignored
        self.tell: Callable[[Failure], None] | None = None
        self._counts: dict[tuple[Published, Seen], int] = {}

    @property
    def is_on(self) -> bool:
        """False when nobody wants to know."""
        return self._most > 0

    @property
    def is_empty(self) -> bool:
        """True when all that was counted is taken."""
        return not self._counts

    def is_ignored(self, recipients: Iterable[str]) -> bool:
        """True for mail to addresses for reports alone: two who report of each other's reports would never end."""
        return bool(self._ignored) and self._ignored.issuperset(recipients)

    def add(self, published: Published, seen: Seen) -> None:
        """One message more."""
        known = self._counts.get((published, seen))
        if known is not None or len(self._counts) < self._most:
            self._counts[published, seen] = (known or 0) + 1

    def take(self) -> dict[tuple[Published, Seen], int]:
        """What was counted since the last time."""
        found, self._counts = self._counts, {}
        return found

    def give_back(self, counts: dict[tuple[Published, Seen], int]) -> None:
        """What was taken and could not be written, for the next time."""
        for key, count in counts.items():
            self._counts[key] = self._counts.get(key, 0) + count
