"""Reports of others, taken in as the configuration asks for it.

Without an address for them nobody looks for any: it is one policy more at stage message, or none.
"""

from collections.abc import Callable

from postroad.config.schema import Config
from postroad.policies.reports import ReportDoor, TakenReports
from postroad.store.reportsin import ReceivedReports


def reports_of(config: Config, now: Callable[[], int]) -> TakenReports | None:
    """The policy that takes them; None when there is no address for them."""
    settings = config.tls_reports
    if settings is None or not settings.received_at:
        return None
    addresses = tuple(address.lower() for address in settings.received_at)
    return TakenReports(addresses, ReceivedReports(config.received_reports_file), now)


def door_of(config: Config, now: Callable[[], int]) -> ReportDoor | None:
    """Where reports come in by HTTPS; None when that is not wished."""
    settings = config.tls_reports
    if settings is None or not settings.received_by_https:
        return None
    return ReportDoor(ReceivedReports(config.received_reports_file), now)
