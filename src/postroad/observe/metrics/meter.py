"""All metrics of one process: the records counted, what is measured beside them, and the page.

The hooks (`committed`, `looked_up`, `worked`) are called by the parts that measure, where somebody has set them; they
add numbers and return. The event loop's lag is how late a timer comes: everything waits that long.
"""

from collections.abc import Callable, Iterator
from typing import Final

from postroad import VERSION
from postroad.model.dns import DnsStatus
from postroad.net.clock import Clock, Timer
from postroad.observe.metrics.cells import Counter, Histogram
from postroad.observe.metrics.counting import Counting, record_families
from postroad.observe.metrics.exposition import render
from postroad.observe.metrics.queue import RECIPIENTS, QueueShape
from postroad.observe.metrics.readings import (
    OF_PROCESS,
    OF_QUEUE,
    QueueSources,
    Sources,
    process_series,
    queue_series,
)
from postroad.observe.metrics.series import Family, Series

LAG_EVERY: Final = 0.5  # seconds
_SHORT: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LONG: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_BATCHES: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)

SYNC: Final = Family(
    "postroad_spool_sync_seconds", "histogram", "Writing and syncing one batch of the journal.", (), _SHORT
)
BATCH: Final = Family(
    "postroad_spool_batch_entries", "histogram", "Messages and settlements in one batch of the journal.", (), _BATCHES
)
DNS_SECONDS: Final = Family(
    "postroad_dns_lookup_seconds", "histogram", "Look-ups that had to ask a name server, all tries.", (), _SHORT
)
DNS: Final = Family(
    "postroad_dns_lookups_total", "counter", "Look-ups that had to ask a name server, by result.", ("type", "result")
)
LAG: Final = Family(
    "postroad_event_loop_lag_seconds", "histogram", "How late a timer of the event loop came.", (), _SHORT
)

WORK_WAIT: Final = Family(
    "postroad_work_wait_seconds", "histogram", "How long jobs waited for a worker process.", (), _SHORT
)
WORK_SECONDS: Final = Family(
    "postroad_work_seconds", "histogram", "How long worker processes took for jobs that were done.", (), _LONG
)
WORKERS: Final = Family("postroad_workers", "gauge", "Worker processes that live.")
WORK_WAITING: Final = Family("postroad_work_waiting", "gauge", "Jobs that wait for a worker process.")

LEFT_OUT: Final = Family(
    "postroad_log_records_left_out_total", "counter", "Records that the log on standard error had no room for."
)


def families() -> list[Family]:
    """Every metric there is, in the order of the page."""
    of_work = (WORKERS, WORK_WAITING, WORK_WAIT, WORK_SECONDS)
    measured = (SYNC, BATCH, DNS, DNS_SECONDS, LAG)
    return [*OF_PROCESS, *OF_QUEUE, RECIPIENTS, *measured, *of_work, LEFT_OUT, *record_families()]


class Meter:
    """The metrics of this process; `count` is the sink of records."""

    def __init__(self, sources: Sources, clock: Clock) -> None:
        """Begin at zero."""
        self._sources = sources
        self._clock = clock
        self._began = clock.now()
        self.count = Counting()
        self._sync, self._batch, self._lag = Histogram(SYNC), Histogram(BATCH), Histogram(LAG)
        self._dns, self._dns_seconds = Counter(DNS), Histogram(DNS_SECONDS)
        self._work_wait, self._work_seconds = Histogram(WORK_WAIT), Histogram(WORK_SECONDS)
        self._workers: Callable[[], tuple[int, int]] | None = None
        self._queue: QueueSources | None = None
        self._shape: QueueShape | None = None
        self._timer: Timer | None = None
        self._expected = 0.0

    def start(self) -> None:
        """Measure the event loop's lag from now on."""
        self._expected = self._clock.monotonic() + LAG_EVERY
        self._timer = self._clock.call_later(LAG_EVERY, self._tick)

    def watch_queue(self, sources: QueueSources, shape: QueueShape) -> None:
        """The queue is open."""
        self._queue, self._shape = sources, shape

    def watch_workers(self, count: Callable[[], tuple[int, int]]) -> None:
        """There can be workers: `count` gives those that live, and the jobs that wait."""
        self._workers = count

    async def close(self) -> None:
        """Measure no more, and ask the queue nothing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        shape, self._shape, self._queue = self._shape, None, None
        if shape is not None:
            await shape.close()

    def committed(self, seconds: float, entries: int) -> None:
        """The spool wrote a batch."""
        self._sync.add(seconds)
        self._batch.add(entries)

    def looked_up(self, kind: str, status: DnsStatus, seconds: float) -> None:
        """The resolver asked a name server."""
        self._dns.add((kind, status.name.lower()))
        self._dns_seconds.add(seconds)

    def worked(self, waited: float, seconds: float) -> None:
        """A worker process did a job."""
        self._work_wait.add(waited)
        self._work_seconds.add(seconds)

    async def series(self) -> list[Series]:
        """Everything this process knows; `series.merge` joins it with that of others."""
        out = list(self.at_once())
        if self._shape is not None:
            out += await self._shape.series()
        return out

    async def page(self) -> bytes:
        """Everything in Prometheus' text format."""
        return render(families(), await self.series())

    def at_once(self) -> Iterator[Series]:
        """What needs no waiting: all but what waits by next hop and age."""
        yield from process_series(self._sources, VERSION, self._began)
        if self._queue is not None:
            yield from queue_series(self._queue)
        if self._workers is not None:
            alive, waiting = self._workers()
            yield Series(WORKERS.name, (), alive)
            yield Series(WORK_WAITING.name, (), waiting)
        cells = (self._sync, self._batch, self._lag, self._dns, self._dns_seconds)
        for cell in (*cells, self._work_wait, self._work_seconds, self.count):
            yield from cell.series()
        yield Series(LEFT_OUT.name, (), self._sources.left_out())

    def _tick(self) -> None:
        now = self._clock.monotonic()
        self._lag.add(max(now - self._expected, 0.0))
        self._expected = now + LAG_EVERY
        self._timer = self._clock.call_later(LAG_EVERY, self._tick)
