"""All configured sinks: made from their settings, given to the fan-out, watched, and closed together.

Without any there is nothing here to run. Once a second each sink is asked what the others should know
(a fault, losses), which becomes records like any other; a sink never waits for another.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from postroad.model.late import Late
from postroad.net.clock import Clock, Timer
from postroad.net.logsocket import LogAddress
from postroad.observe.fanout import Fanout
from postroad.observe.journald import JournalOutlet, make_entry
from postroad.observe.log import make_format
from postroad.observe.logfile import FileOutlet, FileTerms
from postroad.observe.outlet import Around, MakeOutlet, Outlet
from postroad.observe.selection import select
from postroad.observe.settings import SinkSettings
from postroad.observe.sink import BATCH, DELAY, QueuedSink
from postroad.observe.syslog import Sender, SyslogOutlet, facility_number, make_messages
from postroad.observe.tracing import TRACED

WEBHOOK: Final = Late[MakeOutlet]("postroad.observe.webhook", "make_webhook")
OTLP: Final = Late[MakeOutlet]("postroad.observe.otlp", "make_otlp", extra="otel")
WATCH_EVERY: Final = 1.0
CLOSE_SECONDS: Final = 6.0


def make_outlet(name: str, settings: SinkSettings, around: Around, clock: Clock) -> Outlet:
    """The outlet that `settings` ask for; nothing is opened yet."""
    where, form, pid = settings.destination, settings.line_format, os.getpid()
    facility = facility_number(settings.facility)
    match where.kind:
        case "file":
            terms = FileTerms(
                settings.rotate_size, settings.rotate_daily, settings.keep, settings.compress, settings.sync
            )
            return FileOutlet(Path(where.path), make_format(form, hostname=around.hostname, pid=pid), clock, terms)
        case "journald":
            entry = make_entry(form, hostname=around.hostname, pid=pid, facility=facility)
            return JournalOutlet(where.path, entry)
        case "syslog":
            address = LogAddress(where.transport, where.path, where.host, where.port, settings.ca_file)
            return SyslogOutlet(address, make_messages(form, Sender(around.hostname, pid, facility)))
        case "webhook":
            return WEBHOOK.load()(name, settings, around, clock)
        case "otlp":
            return OTLP.load()(name, settings, around, clock)


class Sinks:
    """The configured sinks of one process."""

    def __init__(self, settings: Mapping[str, SinkSettings], around: Around, clock: Clock, emit: Fanout) -> None:
        """Nothing runs before `start`."""
        self._settings = settings
        self._around = around
        self._clock = clock
        self._emit = emit
        self._running: dict[str, tuple[QueuedSink, Callable[[], None]]] = {}
        self._leaving: list[QueuedSink] = []  # write what they have, and end
        self._timer: Timer | None = None

    def start(self) -> None:
        """Begin; after giving up root, so that files belong to who writes them later. Needs a running event loop."""
        for name in self._settings:
            self._begin(name)

    def change(self, settings: Mapping[str, SinkSettings], around: Around) -> None:
        """Run by other settings from now on; sinks that stay as they are go on untouched. Returns at once."""
        stay = {
            name
            for name in settings.keys() & self._settings.keys()
            if settings[name] == self._settings[name] and around.of(name) == self._around.of(name)
        }
        self._report()
        for name in self._running.keys() - stay:
            sink, remove = self._running.pop(name)
            remove()
            sink.begin_close()
            self._leaving.append(sink)
        self._settings, self._around = settings, around
        for name in settings.keys() - stay:
            self._begin(name)

    def _begin(self, name: str) -> None:
        settings = self._settings[name]
        kind = settings.destination.kind
        is_far = kind in {"webhook", "otlp"}
        wanted = select(settings.records)
        sink = QueuedSink(
            name,
            make_outlet(name, settings, self._around, self._clock),
            self._clock,
            wanted=wanted & TRACED if kind == "otlp" else wanted,
            limit=settings.buffer,
            delay=settings.delay if is_far else DELAY,
            batch=settings.batch if is_far else BATCH,
        )
        self._running[name] = (sink, self._emit.add(sink))
        if self._timer is None:
            self._timer = self._clock.call_later(WATCH_EVERY, self._watch)

    def _watch(self) -> None:
        self._report()
        for sink in [sink for sink in self._leaving if sink.has_ended]:
            self._leaving.remove(sink)
            self._tell(sink, last=True)
        more = self._running or self._leaving
        self._timer = self._clock.call_later(WATCH_EVERY, self._watch) if more else None

    def _report(self) -> None:
        for sink, _ in list(self._running.values()):
            self._tell(sink)

    def _tell(self, sink: QueuedSink, *, last: bool = False) -> None:
        for record in sink.report(last=last):
            self._emit(record)

    def close(self) -> None:
        """Write what waits, all sinks at once, within a few seconds; what is lost is told to the log. Blocks."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._report()
        until = self._clock.monotonic() + CLOSE_SECONDS
        closing = [*self._leaving]
        for sink, remove in self._running.values():
            remove()
            sink.begin_close()
            closing.append(sink)
        for sink in closing:
            sink.close(max(until - self._clock.monotonic(), 0.1))
        for sink in closing:
            self._tell(sink, last=True)
        self._running.clear()
        self._leaving.clear()
