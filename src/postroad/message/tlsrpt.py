"""TLS reports (RFC 8460): who wants them, the report as JSON, and the mail that carries it. Pure.

Whatever a record holds is a tuple of addresses, never an exception. The report is made of counts alone, so that it is
the same each time it has to be sent again; its mail asks that no TLS be demanded for it (RFC 8460 5.3, RFC 8689 3).
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from postroad.message.reportmail import Author, boundary_of, composed, file_part, mailbox_of, text_part
from postroad.message.trace import format_date
from postroad.model.address import Mailbox
from postroad.model.reportjob import DAY, day_text
from postroad.model.security import SUCCESS
from postroad.model.tlscounts import TlsCount

GZIP: Final = "application/tlsrpt+gzip"
URIS: Final = 5  # of one domain
_VERSION: Final = "v=TLSRPTv1"
_DELIMITER: Final = re.compile(r"[ \t]*;[ \t]*")
_COMMA: Final = re.compile(r"[ \t]*,[ \t]*")
_HTTPS: Final = re.compile(r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[\x21-\x7e]*)?", re.IGNORECASE)
_URI_SIZE: Final = 1000
_SECOND: Final = 1_000_000


def parse_record(texts: Sequence[str]) -> tuple[str, ...]:
    """The URIs that reports go to, of the TXT records `texts` (RFC 8460 3); none without exactly one valid record."""
    found = [fields for fields in map(_DELIMITER.split, texts) if fields[0] == _VERSION]
    if len(found) != 1:
        return ()
    for field in found[0][1:]:
        name, equals, value = field.partition("=")
        if equals and name.strip(" \t") == "rua":
            uris = [uri for uri in _COMMA.split(value.strip(" \t")) if _is_usable(uri)]
            return tuple(dict.fromkeys(uris))[:URIS]
    return ()


def _is_usable(uri: str) -> bool:
    return len(uri) <= _URI_SIZE and (bool(_HTTPS.fullmatch(uri)) or mailbox_of(uri) is not None)


# -- the report ------------------------------------------------------------------------------------


def report_id(day: int, domain: str, author: Author) -> str:
    """The same each time."""
    return f"{_moment(day * DAY)}_{domain}@{author.submitter}"


def report_json(day: int, domain: str, author: Author, counts: Iterable[TlsCount]) -> bytes:
    """The report of `day` about `domain` (RFC 8460 4.4), made of its counts."""
    policies: dict[tuple[str, str], list[TlsCount]] = {}
    for count in counts:
        policies.setdefault((count.key.policy_type, count.key.policy), []).append(count)
    return msgspec.json.encode(
        {
            "organization-name": author.organization,
            "date-range": {
                "start-datetime": _moment(day * DAY),
                "end-datetime": _moment((day + 1) * DAY - _SECOND),
            },
            "contact-info": author.contact,
            "report-id": report_id(day, domain, author),
            "policies": [_policy(domain, kind, text, found) for (kind, text), found in sorted(policies.items())],
        }
    )


def _policy(domain: str, kind: str, text: str, counts: list[TlsCount]) -> dict[str, object]:
    failures = [count for count in counts if count.key.result != SUCCESS]
    lines = text.split("\n") if text else []
    policy: dict[str, object] = {"policy-type": kind, "policy-domain": domain}
    if lines:
        policy["policy-string"] = lines
    patterns = [line.partition(":")[2].strip() for line in lines if kind == "sts" and line.startswith("mx:")]
    if patterns:
        policy["mx-host"] = patterns
    found: dict[str, object] = {
        "policy": policy,
        "summary": {
            "total-successful-session-count": sum(one.count for one in counts if one.key.result == SUCCESS),
            "total-failure-session-count": sum(one.count for one in failures),
        },
    }
    if failures:
        found["failure-details"] = [_failure(one) for one in failures]
    return found


def _failure(count: TlsCount) -> dict[str, object]:
    key = count.key
    optional = (
        ("sending-mta-ip", key.sending_ip),
        ("receiving-mx-hostname", key.mx_host),
        ("receiving-ip", key.receiving_ip),
        ("failure-reason-code", key.words),
    )
    told: dict[str, object] = {"result-type": key.result}
    told |= {name: value for name, value in optional if value}
    return {**told, "failed-session-count": count.count}


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at // _SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# -- its mail --------------------------------------------------------------------------------------


def compose(day: int, domain: str, author: Author, to: Mailbox, report: bytes, now: int) -> bytes:
    """The mail with `report`, which is packed (RFC 8460 5.3)."""
    name = report_id(day, domain, author)
    begin = day * DAY // _SECOND
    file = f"{author.submitter}!{domain}!{begin}!{begin + 86_399}!{day}.json.gz"
    fields = (
        f"From: <{author.sender}>",
        f"To: <{to.text}>",
        f"Date: {format_date(now)}",
        f"Subject: Report Domain: {domain}",
        f" Submitter: {author.submitter}",
        f" Report-ID: <{name}>",
        f"Message-ID: <{now}.tlsrpt.{domain}@{author.submitter}>",
        f"TLS-Report-Domain: {domain}",
        f"TLS-Report-Submitter: {author.submitter}",
        "TLS-Required: No",
    )
    text = text_part(
        f"This is a report about TLS with the mail hosts of {domain}",
        f"on {day_text(day)} (UTC), from {author.submitter}.",
    )
    parts = (text, file_part(GZIP, file, report))
    return composed(fields, 'multipart/report; report-type="tlsrpt"', boundary_of(file, report), parts)
