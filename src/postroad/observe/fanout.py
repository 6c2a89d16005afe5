"""One `Emit` over many sinks, which are unable to object.

Invariant: emitting never raises. A sink that does is at fault, is told of once and gets no more
records; the others, and the mail, go on.
"""

import sys
import traceback
from collections.abc import Callable, Iterable

from postroad.model.records import Emit, Record


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201  the log itself may be what broke


class Fanout:
    """Gives each record to every sink, in order; `complain` is told of a sink that raised."""

    def __init__(self, sinks: Iterable[Emit], complain: Callable[[str], None] = _to_stderr) -> None:
        """Begin with `sinks`."""
        self._sinks = tuple(sinks)
        self._complain = complain

    def add(self, sink: Emit) -> Callable[[], None]:
        """Give records to `sink` too, until what this returns is called."""
        self._sinks = (*self._sinks, sink)

        def remove() -> None:
            self._sinks = tuple(other for other in self._sinks if other is not sink)

        return remove

    def __call__(self, record: Record) -> None:
        """Give `record` to every sink."""
        for sink in self._sinks:
            try:
                sink(record)
            except Exception:  # noqa: BLE001  seam: records only inform, so a broken sink must not stop mail
                self._sinks = tuple(other for other in self._sinks if other is not sink)
                self._complain(f"a sink of records failed and is left out from now on:\n{traceback.format_exc()}")
