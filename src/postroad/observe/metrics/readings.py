"""Values that are read at the moment of a scrape: the process, the sessions, the connections, the queue in memory.

Nothing is kept up to date for them while mail flows. What several processes have is added.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct

from postroad.net.process.usage import usage_now
from postroad.observe.metrics.series import Family, Series
from postroad.queue.lane import LaneState, WaitReason


class Sources(Struct, frozen=True):
    """Where the values come from; each is asked at a scrape and answers at once."""

    sessions: Callable[[], int]
    idle: Callable[[], int]
    left_out: Callable[[], int]
    unready: Callable[[], str]


class QueueSources(Struct, frozen=True):
    """The same for the queue, once it is open: its lanes in memory, messages and octets, free octets of the disk."""

    lanes: Callable[[], list[LaneState]]
    totals: Callable[[], tuple[int, int]]
    free: Callable[[], int]


def _gauge(name: str, text: str, *labels: str) -> Family:
    return Family(name, "gauge", text, labels)


READY: Final = Family(
    "postroad_ready",
    "gauge",
    "1 while new mail is accepted, as /readyz says; the lowest of all processes.",
    (),
    (),
    "min",
)
BUILD: Final = Family(
    "postroad_build_info", "gauge", "The version that runs, as a label; the value is 1.", ("version",), (), "min"
)
TASKS: Final = _gauge("postroad_tasks", "Tasks of the event loop that have not ended.")
SESSIONS: Final = _gauge("postroad_sessions", "Clients' connections that are open.")
IDLE: Final = _gauge("postroad_pool_idle_connections", "Connections to next hops kept for the next message.")
RUNNING: Final = _gauge("postroad_deliveries_running", "Deliveries that run; each has a connection to a next hop.")
WAITING: Final = _gauge("postroad_window_recipients", "Recipients that wait in memory.")
LANES: Final = _gauge("postroad_lanes", "Next hops in memory, by why they wait.", "wait")
MESSAGES: Final = _gauge("postroad_queue_messages", "Messages that wait or are being delivered.")
OCTETS: Final = _gauge("postroad_queue_bytes", "Octets of those messages.")
FREE: Final = Family("postroad_spool_free_bytes", "gauge", "Free octets of the spool's disk.", (), (), "min")
MEMORY: Final = _gauge("process_resident_memory_bytes", "Memory in use.")
FILES: Final = _gauge("process_open_fds", "Open file descriptors.")
MOST_FILES: Final = _gauge("process_max_fds", "File descriptors that may be open.")
CPU: Final = Family("process_cpu_seconds_total", "counter", "Processor time, of user and system.")
BEGAN: Final = Family(
    "process_start_time_seconds", "gauge", "When the oldest process began, in seconds since 1970.", (), (), "min"
)

OF_PROCESS: Final = (READY, BUILD, MEMORY, CPU, FILES, MOST_FILES, BEGAN, TASKS, SESSIONS, IDLE)
OF_QUEUE: Final = (MESSAGES, OCTETS, WAITING, RUNNING, LANES, FREE)


def process_series(sources: Sources, version: str, began: int) -> Iterator[Series]:
    """The process and its connections; `began` in microseconds since 1970."""
    used = usage_now()
    values = (
        (READY, 0 if sources.unready() else 1),
        (MEMORY, used.memory),
        (CPU, used.seconds),
        (FILES, used.files),
        (MOST_FILES, used.most_files),
        (BEGAN, began / 1_000_000),
        (TASKS, len(asyncio.all_tasks())),
        (SESSIONS, sources.sessions()),
        (IDLE, sources.idle()),
    )
    yield Series(BUILD.name, (version,), 1)
    for family, value in values:
        yield Series(family.name, (), value)


def queue_series(sources: QueueSources) -> Iterator[Series]:
    """The queue in memory and its disk."""
    states = sources.lanes()
    messages, octets = sources.totals()
    values = (
        (MESSAGES, messages),
        (OCTETS, octets),
        (WAITING, sum(state.waiting for state in states)),
        (RUNNING, sum(state.running for state in states)),
        (FREE, sources.free()),
    )
    for family, value in values:
        yield Series(family.name, (), value)
    waits = [state.wait for state in states]
    for reason in WaitReason:
        yield Series(LANES.name, (reason.name.lower().replace("_", "-"),), waits.count(reason))
