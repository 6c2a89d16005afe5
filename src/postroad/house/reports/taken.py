"""Reports of others, taken in as the configuration asks for it.

Without an address for them nobody looks for any: it is one policy more at stage message, or none.
"""

from collections.abc import Callable

from postroad.config.schema import Config
from postroad.model.records import Emit
from postroad.policies.reports import ReportDoor, ReportKind, TakenReports, read_dmarc, read_tls
from postroad.routing.patterns import compile_patterns
from postroad.store.reportsin import ReceivedReports


def reports_of(config: Config, now: Callable[[], int]) -> TakenReports | None:
    """The policy that takes them; None when there is no address for them."""
    tls = config.tls_reports.received_at if config.tls_reports is not None else ()
    dmarc = config.dmarc_reports.received_at if config.dmarc_reports is not None else ()
    file = config.received_reports_file
    kinds = []
    if tls:
        kinds.append(ReportKind("TLS", _addresses(tls), read_tls, ReceivedReports(file, "tls")))
    if dmarc:
        kinds.append(ReportKind("DMARC", _addresses(dmarc), read_dmarc, ReceivedReports(file, "dmarc")))
    return TakenReports(kinds, now) if kinds else None


def _addresses(texts: tuple[str, ...]) -> frozenset[str]:
    return frozenset(text.lower() for text in texts)


def door_of(config: Config, now: Callable[[], int], emit: Emit) -> ReportDoor | None:
    """Where reports come in by HTTPS; None when that is not wished."""
    settings = config.tls_reports
    if settings is None or not settings.received_by_https:
        return None
    ours = compile_patterns(settings.received_about or config.access.relay_domains)
    return ReportDoor(ReceivedReports(config.received_reports_file, "tls"), ours.covers, now, emit)
