"""What a process that takes mail does for reports about DMARC: it counts, and tells of failures at once.

Without `[dmarc_reports]` nothing is opened or started; failure reports are sent only where `failures` says so.
"""

from collections.abc import Callable

from postroad.config.schema import Config
from postroad.house.reports.daily import Outbox
from postroad.house.reports.dmarcfailures import FailureReports
from postroad.house.reports.dmarcreports import dmarc_author_of
from postroad.house.reports.dmarctally import DmarcTally
from postroad.message.dmarcreport import Tally
from postroad.model.dns import Lookup
from postroad.model.records import Emit
from postroad.net.clock import Clock
from postroad.net.dns.resolver import Resolver


class DmarcWatch:
    """One process's."""

    def __init__(self, config: Config, clock: Clock, emit: Emit) -> None:
        """Nothing is opened yet."""
        self._config = config
        self._clock = clock
        self._emit = emit
        self._counting = DmarcTally(config, clock, emit)
        self._failures: FailureReports | None = None
        self._resolver: Resolver | None = None

    @property
    def tally(self) -> Tally:
        """What the policy `dmarc` counts with."""
        return self._counting.tally

    def send_by(self, outbox: Outbox, lookup: Callable[[], Lookup] | None = None) -> None:
        """Mail leaves by the queue; `lookup` gives the resolver in force, None: make one."""
        settings, author = self._config.dmarc_reports, dmarc_author_of(self._config)
        if settings is None or author is None or settings.failures == 0:
            return
        self._failures = FailureReports(
            self._config.dmarc_reports_file,
            author,
            settings.failures,
            lookup=lookup or self._own_resolver(),
            outbox=outbox,
            clock=self._clock,
            emit=self._emit,
        )
        self.tally.tell = self._failures.hear

    def _own_resolver(self) -> Callable[[], Lookup]:
        self._resolver = resolver = Resolver(self._config.resolver, self._clock)
        return lambda: resolver

    def start(self) -> None:
        """Begin to write and to send."""
        self._counting.start()
        if self._failures is not None:
            self._failures.start()

    async def stop(self) -> None:
        """Write what is left, and send no more; while the spool is open."""
        if self._failures is not None:
            await self._failures.stop()
        if self._resolver is not None:
            self._resolver.close()
        await self._counting.stop()
