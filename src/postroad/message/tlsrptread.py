"""TLS reports of others (RFC 8460): found in the mail that brings one, unpacked, and read. Pure.

Strangers write them, so everything is bounded: the mail, what it unpacks to, how many policies and failures are read.
Whatever is wrong is a ReportError that says so. RFC 8460 4.4 (JSON), RFC 8460 5.3 (mail), RFC 8460 6.4 and 6.5 (types).
"""

import zlib
from collections.abc import Sequence
from datetime import datetime
from email.message import Message
from typing import Final

import msgspec
from msgspec import Struct

from postroad.message.reportmail import ReportError, part_of
from postroad.message.tlsrpt import GZIP

REPORT_LIMIT: Final = 20 << 20  # octets of an unpacked report
POLICIES: Final = 1000
FAILURES: Final = 10_000
JSON: Final = "application/tlsrpt+json"
_WBITS: Final = 31  # gzip, with its header


class DateRange(Struct, rename="kebab"):
    """When it was."""

    start_datetime: datetime
    end_datetime: datetime


class PolicySaid(Struct, rename="kebab"):
    """Which policy was found."""

    policy_type: str
    policy_domain: str
    policy_string: list[str] = []
    mx_host: list[str] | str = []


class Summary(Struct, rename="kebab"):
    """How many connections there were."""

    total_successful_session_count: int
    total_failure_session_count: int


class Failure(Struct, rename="kebab"):
    """One kind of failure."""

    result_type: str
    failed_session_count: int = 1
    sending_mta_ip: str = ""
    receiving_mx_hostname: str = ""
    receiving_mx_helo: str = ""
    receiving_ip: str = ""
    additional_information: str = ""
    failure_reason_code: str = ""


class PolicyReport(Struct, rename="kebab"):
    """What became of one policy."""

    policy: PolicySaid
    summary: Summary
    failure_details: list[Failure] = []


class Report(Struct, rename="kebab"):
    """A whole report."""

    organization_name: str
    date_range: DateRange
    report_id: str
    policies: list[PolicyReport]
    contact_info: str = ""

    @property
    def domains(self) -> tuple[str, ...]:
        """Whom it is about."""
        return tuple(dict.fromkeys(one.policy.policy_domain.lower() for one in self.policies))

    @property
    def good(self) -> int:
        """Connections that went well."""
        return sum(one.summary.total_successful_session_count for one in self.policies)

    @property
    def bad(self) -> int:
        """Connections that did not."""
        return sum(one.summary.total_failure_session_count for one in self.policies)

    @property
    def author(self) -> str:
        """The domain of whoever is to be asked about it, "" when nobody is."""
        return self.contact_info.rpartition("@")[2].lower()

    def is_signed_by(self, domains: Sequence[str]) -> bool:
        """True when one of `domains` is its author's, above it or below it; any will do where no author is named."""
        if not self.author:
            return bool(domains)
        return any(_is_in(one, self.author) or _is_in(self.author, one) for one in domains)


def _is_in(domain: str, other: str) -> bool:
    return f".{domain}".endswith(f".{other}")


def report_in_mail(content: bytes) -> Report:
    """The report that a mail brings; ReportError when it brings none that can be read."""
    return read_report(*part_of(content, _is_report, "a TLS report"))


def _is_report(part: Message) -> bool:
    return part.get_content_type() in (GZIP, JSON)


def read_report(body: bytes, content_type: str) -> Report:
    """The report in `body`, packed or not as its type says; ReportError when there is none."""
    text = _unpacked(body) if content_type == GZIP or body[:2] == b"\x1f\x8b" else body
    if len(text) > REPORT_LIMIT:
        raise ReportError(f"the report is larger than {REPORT_LIMIT >> 20} MiB")
    try:
        report = msgspec.json.decode(text, type=Report)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ReportError(f"the report is no JSON of RFC 8460: {error}") from None
    if len(report.policies) > POLICIES or sum(len(one.failure_details) for one in report.policies) > FAILURES:
        raise ReportError(f"the report has more than {POLICIES} policies or {FAILURES} failures")
    counts = [one.summary.total_successful_session_count for one in report.policies]
    counts += [one.summary.total_failure_session_count for one in report.policies]
    if not report.report_id or not report.policies or min(counts) < 0 or max(counts) >= 1 << 53:
        raise ReportError("the report has no id or no policy, or counts that are none")
    return report


def _unpacked(body: bytes) -> bytes:
    gunzip = zlib.decompressobj(_WBITS)
    try:
        text = gunzip.decompress(body, REPORT_LIMIT + 1)
    except zlib.error as error:
        raise ReportError(f"the report is no gzip: {error}") from None
    if not gunzip.eof and len(text) <= REPORT_LIMIT:
        raise ReportError("the report ends too early")
    return text
