"""`postroad dmarc reports`: what others saw of mail in the name of our domains, by report or by source. RFC 7489 7.2.

With `--sent` what we saw, and tell others. Read from the files that the server writes; nothing is asked of it.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Final

import msgspec
import typer
from msgspec import Struct

from postroad.cli.exits import OK, complain, guarded
from postroad.cli.layout import printable
from postroad.cli.options import ConfigFile, Json, configuration
from postroad.config.schema import Config
from postroad.house.reports.dmarcreports import dmarc_author_of, report_of
from postroad.message.dmarcreport import DmarcReport, Row, day_text
from postroad.model.reportjob import DAY
from postroad.net.clock import SystemClock
from postroad.store.dmarcreports import DmarcReportStore
from postroad.store.reportsin import ReceivedReports

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
    sent: Annotated[bool, typer.Option("--sent", help="What was counted here, as it is told to others.")] = False,
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="How many days back.")] = 30,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Show the aggregate reports that others sent us: who sends in the name of our domains, and what is not proven.

    With --sent it is what we saw of other domains, as they are told.

    Example: postroad dmarc reports example.com --sources
    """
    settings = configuration(config)
    wanted, since = domain.lower().removesuffix("."), SystemClock().now() - days * DAY
    told = _sent(settings, wanted, since) if sent else _received(settings, wanted, since)
    if sources:
        for source in _by_source(report for report, _ in told):
            print(msgspec.json.encode(source).decode() if as_json else _source_text(source))
    else:
        for report, by in told:
            print(msgspec.json.encode(report).decode() if as_json else _report_text(report, by))
    return OK


def _received(config: Config, domain: str, since: int) -> Iterator[tuple[DmarcReport, str]]:
    """Reports of others, each with who it is of."""
    if config.dmarc_reports is None or not config.dmarc_reports.received_at:
        complain("no reports are taken in: [dmarc_reports] has no received_at")
    for one in ReceivedReports(config.received_reports_file, "dmarc").all(domain, since):
        signed = f"signed by {one.proven}" if one.proven else "not signed"
        yield msgspec.json.decode(one.report, type=DmarcReport), f", says {one.submitter} ({signed})"


def _sent(config: Config, domain: str, since: int) -> Iterator[tuple[DmarcReport, str]]:
    """Our own reports, whether they have been sent or not."""
    author = dmarc_author_of(config)
    if author is None:
        complain("nothing is counted: [dmarc_reports] has no from")
        return
    store = DmarcReportStore(config.dmarc_reports_file, reads_only=True)
    try:
        for day, name in store.days():
            if domain in ("", name) and (day + 1) * DAY >= since:
                report = report_of(store, day, name, author)
                if report is not None:
                    yield report, ""
    finally:
        store.close()


def _report_text(report: DmarcReport, by: str) -> str:
    counts = f"{report.passed} passed, {report.total - report.passed} failed"
    lines = [f"{day_text(report.begin)} {report.published.domain}: {counts}{by}"]
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
