"""`postroad tls reports`: what was counted of TLS to domains with a policy, as reports tell it. RFC 8460 4.4.

Read from the file that the server writes once a minute; a report is shown as it is sent, whether it has been or not.
"""

from typing import Annotated

import msgspec
import typer

from postroad.cli.exits import OK, complain, guarded
from postroad.cli.layout import printable
from postroad.cli.options import ConfigFile, Json, configuration
from postroad.house.reports.tlsreporting import tls_author_of
from postroad.message.reportmail import clean
from postroad.message.tlsrpt import report_json
from postroad.message.tlsrptread import Report
from postroad.model.reportjob import day_text
from postroad.model.security import SUCCESS
from postroad.model.tlscounts import TlsCount
from postroad.store.reportsin import ReceivedReport, ReceivedReports
from postroad.store.tlsreports import TlsReportStore


@guarded
def reports(
    domain: Annotated[
        str, typer.Argument(metavar="[DOMAIN]", help="Only what is about this domain.", show_default=False)
    ] = "",
    received: Annotated[bool, typer.Option("--received", help="Those that others sent us.")] = False,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Show the TLS reports of the last days: successes and failures for each domain with a policy.

    Example: postroad tls reports example.com --json
    """
    settings = configuration(config)
    if received:
        for one in ReceivedReports(settings.received_reports_file, "tls").all(domain.lower().removesuffix(".")):
            print(one.report if as_json else _received_text(one))
        return OK
    if settings.tls_reports is None:
        complain("nothing is counted: there is no section [tls_reports]")
        return OK
    author, wanted = tls_author_of(settings.tls_reports), domain.lower().removesuffix(".")
    store = TlsReportStore(settings.tls_reports_file, reads_only=True)
    try:
        for day, name in store.days():
            if wanted in ("", name):
                counts = store.counts(day, name)
                text = report_json(day, name, author, counts).decode() if as_json else _text(day, name, counts)
                print(text)
    finally:
        store.close()
    return OK


def _received_text(report: ReceivedReport) -> str:
    signed = f"signed by {report.proven}" if report.proven else "not signed"
    counts = f"{report.good} successful, {report.bad} failed"
    lines = [f"{report.began[:10]} {report.domains}: {counts}, says {report.submitter} ({signed})"]
    for one in msgspec.json.decode(report.report, type=Report).policies:
        for failure in one.failure_details:
            where = f"{failure.receiving_mx_hostname} {failure.failure_reason_code}"
            words = printable(clean(f"{one.policy.policy_type} {failure.result_type} {where}")).strip()
            lines.append(f"  {failure.failed_session_count} {words}")
    return "\n".join(lines)


def _text(day: int, domain: str, counts: list[TlsCount]) -> str:
    good = sum(one.count for one in counts if one.key.result == SUCCESS)
    bad = [one for one in counts if one.key.result != SUCCESS]
    lines = [f"{day_text(day)} {domain}: {good} successful, {sum(one.count for one in bad)} failed"]
    for one in bad:
        key = one.key
        words = printable(f"{key.policy_type} {key.result} {key.mx_host} {key.words}")
        lines.append(f"  {one.count} {words}")
    return "\n".join(lines)
