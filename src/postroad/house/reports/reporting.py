"""The reports of a server, about TLS and about DMARC, as the configuration asks for them.

Without its section of the configuration nothing is counted, opened or started for a kind. Daily reports are sent by the
process with the queue alone; what edges do is `house/reports/dmarcwatch`.
"""

import random
from collections.abc import Callable

from postroad.config.schema import Config
from postroad.house.reports.daily import Outbox
from postroad.house.reports.dmarcreports import DmarcReports, dmarc_author_of
from postroad.house.reports.dmarcwatch import DmarcWatch
from postroad.house.reports.tlsreporting import TlsReporting
from postroad.message.dmarcreport import Tally
from postroad.model.dns import Lookup
from postroad.model.records import Emit
from postroad.model.security import TlsObserver
from postroad.net.clock import Clock


class Reporting:
    """The reports of one process."""

    def __init__(self, config: Config, resolver: Callable[[], Lookup], clock: Clock, emit: Emit) -> None:
        """`resolver` gives the one in force."""
        self._config = config
        self._resolver = resolver
        self._clock = clock
        self._emit = emit
        self._tls = TlsReporting(config, resolver, clock, emit)
        self._watch = DmarcWatch(config, clock, emit)
        self._dmarc: DmarcReports | None = None

    @property
    def observer(self) -> TlsObserver | None:
        """Who counts what becomes of TLS; None when nobody does."""
        return self._tls.observer

    @property
    def tally(self) -> Tally:
        """What the policy `dmarc` counts with."""
        return self._watch.tally

    def send_by(self, outbox: Outbox) -> None:
        """Mail leaves by the queue."""
        self._tls.send_by(outbox)
        self._watch.send_by(outbox, self._resolver)
        author = dmarc_author_of(self._config)
        if author is not None:
            self._dmarc = DmarcReports(
                self._config.dmarc_reports_file,
                author,
                lookup=self._resolver,
                outbox=outbox,
                clock=self._clock,
                emit=self._emit,
                random=random.SystemRandom().random,
            )

    def start(self) -> None:
        """Begin to write and to report."""
        self._tls.start()
        self._watch.start()
        if self._dmarc is not None:
            self._dmarc.start()

    async def stop(self) -> None:
        """Write what is left; while the spool is open."""
        await self._tls.stop()
        await self._watch.stop()
        if self._dmarc is not None:
            await self._dmarc.stop()
