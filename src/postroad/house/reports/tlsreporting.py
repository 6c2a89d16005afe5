"""TLS reports as the configuration asks for them: nothing is counted, opened or started without `[tls_reports]`.

They are the affair of the process with the queue, so there is one sender however many edges there are (RFC 8460 4.1).
"""

import random
from collections.abc import Callable

from postroad.config.schema import Config
from postroad.delivery.tlsreportsettings import TlsReportSettings
from postroad.house.mtasts import LateFetcher
from postroad.house.reports.daily import Outbox
from postroad.house.reports.tlsreports import TlsReports
from postroad.message.reportmail import Author, author_of
from postroad.model.dns import Answer, Lookup
from postroad.model.records import Emit
from postroad.model.security import TlsObserver, TlsOutcome
from postroad.net.clock import Clock
from postroad.store.tlsreports import TlsReportStore


class TlsReporting:
    """The reports of one process, or nothing."""

    def __init__(self, config: Config, resolver: Callable[[], Lookup], clock: Clock, emit: Emit) -> None:
        """`resolver` gives the one in force."""
        self._settings = config.tls_reports
        self._file = config.tls_reports_file
        self._resolver = resolver
        self._clock = clock
        self._emit = emit
        self._fetcher = LateFetcher("", self._look_up)
        self._reports: TlsReports | None = None

    @property
    def observer(self) -> TlsObserver | None:
        """Who counts; None when nobody does."""
        return None if self._settings is None else self._observe

    def _observe(self, outcome: TlsOutcome) -> None:
        if self._reports is not None:
            self._reports.observe(outcome)

    async def _look_up(self, name: str, kind: str) -> Answer:
        return await self._resolver()(name, kind)

    def send_by(self, outbox: Outbox) -> None:
        """Mail leaves by the queue."""
        if self._settings is None:
            return
        self._reports = TlsReports(
            TlsReportStore(self._file),
            tls_author_of(self._settings),
            lookup=self._resolver,
            post=self._fetcher.post,
            outbox=outbox,
            clock=self._clock,
            emit=self._emit,
            random=random.SystemRandom().random,
        )

    def start(self) -> None:
        """Begin to write and to report."""
        if self._reports is not None:
            self._reports.start()

    async def stop(self) -> None:
        """Write what is left; while the spool is open."""
        if self._reports is not None:
            await self._reports.stop()
        await self._fetcher.close()


def tls_author_of(settings: TlsReportSettings) -> Author:
    """Who reports."""
    return author_of(settings.organization, settings.contact or settings.from_, settings.from_)
