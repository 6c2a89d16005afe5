"""Our aggregate reports about DMARC: the XML, and the mail that carries it. Pure.

A report is made of counts alone, so it is the same each time it has to be made again. Texts come from strangers: what
XML cannot hold is left out. RFC 7489 appendix C (XML), RFC 7489 7.2.1.1 (file name, subject).
"""

from collections.abc import Iterator
from typing import Final
from xml.sax.saxutils import escape

from postroad.message.dmarcreport import DmarcReport, Published, Row, day_text
from postroad.message.reportmail import Author, boundary_of, composed, file_part, text_part
from postroad.message.trace import format_date
from postroad.model.address import Mailbox

_SPACE: Final = 0x20
_SURROGATES: Final = range(0xD800, 0xE000)
_NO_CHARACTERS: Final = frozenset({0xFFFE, 0xFFFF})


def report_xml(report: DmarcReport) -> bytes:
    """The report as it is packed and sent."""
    return "\n".join(_lines(report)).encode()


def _lines(report: DmarcReport) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield "<feedback>"
    yield _leaf("version", "1.0")
    yield "<report_metadata>"
    yield _leaf("org_name", report.organization)
    yield _leaf("email", report.email)
    if report.contact:
        yield _leaf("extra_contact_info", report.contact)
    yield _leaf("report_id", report.id)
    yield f"<date_range>{_leaf('begin', str(report.begin))}{_leaf('end', str(report.end))}</date_range>"
    yield from (_leaf("error", text) for text in report.errors)
    yield "</report_metadata>"
    yield from _published(report.published)
    for row in report.rows:
        yield from _record(row)
    yield "</feedback>\n"


def _published(policy: Published) -> Iterator[str]:
    said = (
        ("domain", policy.domain),
        ("adkim", policy.dkim_alignment),
        ("aspf", policy.spf_alignment),
        ("p", policy.policy),
        ("sp", policy.sub_policy),
        ("np", policy.missing_policy),
        ("pct", policy.percent),
        ("testing", policy.testing),
        ("fo", policy.failures),
    )
    yield "<policy_published>"
    yield from (_leaf(name, value) for name, value in said if value)
    yield "</policy_published>"


def _record(row: Row) -> Iterator[str]:
    seen = row.seen
    yield "<record>"
    yield "<row>"
    yield _leaf("source_ip", seen.source_ip)
    yield _leaf("count", str(row.count))
    yield "<policy_evaluated>"
    yield _leaf("disposition", seen.disposition)
    yield _leaf("dkim", seen.dkim)
    yield _leaf("spf", seen.spf)
    for one in seen.overrides:
        yield f"<reason>{_leaf('type', one.kind)}{_leaf('comment', one.comment) if one.comment else ''}</reason>"
    yield "</policy_evaluated>"
    yield "</row>"
    yield "<identifiers>"
    if seen.envelope_to:
        yield _leaf("envelope_to", seen.envelope_to)
    yield _leaf("envelope_from", seen.envelope_from)
    yield _leaf("header_from", seen.header_from)
    yield "</identifiers>"
    yield "<auth_results>"
    for signature in seen.signatures:
        selector = _leaf("selector", signature.selector) if signature.selector else ""
        yield f"<dkim>{_leaf('domain', signature.domain)}{selector}{_leaf('result', signature.result)}</dkim>"
    for sender in seen.senders:
        scope = _leaf("scope", sender.scope)
        yield f"<spf>{_leaf('domain', sender.domain)}{scope}{_leaf('result', sender.result)}</spf>"
    yield "</auth_results>"
    yield "</record>"


def _leaf(name: str, text: str) -> str:
    return f"<{name}>{escape(''.join(filter(_is_character, text)))}</{name}>"


def _is_character(sign: str) -> bool:
    """Whether XML can hold it, and a line of ours too (XML 1.0, 2.2)."""
    code = ord(sign)
    return code >= _SPACE and code not in _SURROGATES and code not in _NO_CHARACTERS


def compose(report: DmarcReport, author: Author, to: Mailbox, body: bytes, now: int) -> bytes:
    """The mail with `report`, of which `body` is the packed XML; `now` in microseconds since 1970."""
    domain = report.published.domain
    file = f"{author.submitter}!{domain}!{report.begin}!{report.end}.xml.gz"
    fields = (
        f"From: <{author.sender}>",
        f"To: <{to.text}>",
        f"Date: {format_date(now)}",
        f"Subject: Report Domain: {domain}",
        f" Submitter: {author.submitter}",
        f" Report-ID: <{report.id}>",
        f"Message-ID: <{now}.dmarc.{domain}@{author.submitter}>",
    )
    text = text_part(
        f"This is an aggregate report about mail in the name of {domain}",
        f"on {day_text(report.begin)} (UTC), from {author.submitter}.",
    )
    parts = (text, file_part("application/gzip", file, body))
    return composed(fields, "multipart/mixed", boundary_of(file, body), parts)
