"""`postroad dmarc reports`: what others saw of mail in the name of our domains, by report or by source. RFC 7489 7.2.

Read from the file in which they are kept as they come in; nothing is asked of the running server.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Final

import msgspec
import typer
from msgspec import Struct

from postroad.cli.exits import OK, complain, guarded
from postroad.cli.layout import printable
from postroad.cli.options import ConfigFile, Json, configuration
from postroad.message.dmarcreport import DmarcReport, Row
from postroad.model.tlscounts import DAY
from postroad.net.clock import SystemClock
from postroad.store.reportsin import ReceivedReport, ReceivedReports

_NAMES: Final = 4


class Source(Struct):
    """What came from one address in the name of one domain."""

    domain: str
    ip: str
    messages: int = 0
    dkim: int = 0  # of them, proven by DKIM
    spf: int = 0  # of them, proven by SPF
    failed: int = 0  # of them, proven by neither
    refused: int = 0  # of them, rejected or quarantined
    seen_as: str = ""  # domains that SPF and DKIM spoke of


def build() -> typer.Typer:
    """`postroad dmarc` with its commands."""
    program = typer.Typer(no_args_is_help=True, help="Reports about mail in the name of domains (DMARC).")
    program.command("reports")(reports)
    return program


@guarded
def reports(
    domain: Annotated[
        str, typer.Argument(metavar="[DOMAIN]", help="Only what is about this domain.", show_default=False)
    ] = "",
    sources: Annotated[bool, typer.Option("--sources", help="Add up by addresses that mail came from.")] = False,
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="How many days back.")] = 30,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Show the aggregate reports that others sent us: who sends in the name of our domains, and what is not proven.

    Example: postroad dmarc reports example.com --sources
    """
    settings = configuration(config)
    if settings.dmarc_reports is None or not settings.dmarc_reports.received_at:
        complain("no reports are taken in: [dmarc_reports] has no received_at")
    since = SystemClock().now() - days * DAY
    stored = ReceivedReports(settings.received_reports_file, "dmarc").all(domain.lower().removesuffix("."))
    found = [(one, msgspec.json.decode(one.report, type=DmarcReport)) for one in stored if one.at >= since]
    if sources:
        for source in _by_source(report for _, report in found):
            print(msgspec.json.encode(source).decode() if as_json else _source_text(source))
    else:
        for one, report in found:
            print(one.report if as_json else _report_text(one, report))
    return OK


def _report_text(one: ReceivedReport, report: DmarcReport) -> str:
    signed = f"signed by {one.proven}" if one.proven else "not signed"
    lines = [f"{one.began} {one.domains}: {one.good} passed, {one.bad} failed, says {one.submitter} ({signed})"]
    lines += [f"  {_row_text(row)}" for row in report.rows if not row.seen.is_proven]
    return "\n".join(map(printable, lines))


def _row_text(row: Row) -> str:
    seen = row.seen
    why = "".join(f"; {one.kind} {one.comment}".rstrip() for one in seen.overrides)
    return f"{row.count} from {seen.source_ip}: {seen.disposition}; {_proofs(row) or 'nothing to prove it'}{why}"


def _proofs(row: Row) -> str:
    said = [f"DKIM {one.result} of {one.domain}" for one in row.seen.signatures]
    said += [f"SPF {one.result} of {one.domain}" for one in row.seen.senders]
    return ", ".join(dict.fromkeys(said))


def _by_source(reports: Iterable[DmarcReport]) -> Iterator[Source]:
    """What failed most first, domain by domain."""
    found: dict[tuple[str, str], Source] = {}
    names: dict[tuple[str, str], dict[str, None]] = {}
    for report in reports:
        for row in report.rows:
            key = (report.published.domain, row.seen.source_ip)
            source = found.setdefault(key, Source(*key))
            source.messages += row.count
            source.dkim += row.count * (row.seen.dkim == "pass")
            source.spf += row.count * (row.seen.spf == "pass")
            source.failed += row.count * (not row.seen.is_proven)
            source.refused += row.count * (row.seen.disposition != "none")
            told = names.setdefault(key, {})
            told |= dict.fromkeys(one.domain for one in row.seen.signatures)
            told |= dict.fromkeys(one.domain for one in row.seen.senders)
    for key, source in sorted(found.items(), key=lambda one: (one[0][0], -one[1].failed, -one[1].messages, one[0][1])):
        source.seen_as = " ".join([name for name in names[key] if name][:_NAMES])
        yield source


def _source_text(one: Source) -> str:
    proven = f"{one.dkim} by DKIM, {one.spf} by SPF, {one.failed} not proven, {one.refused} refused"
    return printable(f"{one.domain} {one.ip}: {one.messages} messages, {proven} ({one.seen_as or 'no names'})")
