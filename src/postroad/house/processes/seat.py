"""What one of several processes is born with, and the words between it and the supervisor.

A child is a copy of the supervisor, so its seat is handed over in memory. Only the courier has a link to talk by.
"""

import random
import signal
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Final

from msgspec import Struct

from postroad.config.schema import Config
from postroad.house.processes.board import Board
from postroad.house.processes.exchange import Ports
from postroad.net.process.inherited import Inherited
from postroad.net.process.link import Link
from postroad.spool.layout import Lock

# What the supervisor tells by a signal. Those that stop a server reach all its processes, from a terminal or a service
# manager; what they mean is the supervisor's affair alone.
DRAIN: Final = signal.SIGUSR2  # take nothing more, finish what runs, end; a second one cuts that short
RETIRE: Final = signal.SIGUSR1  # take no new sessions, end with the last one


class Kind(IntEnum):
    """Messages between supervisor and courier."""

    RECORD = 1  # from the supervisor: a record, for all sinks
    RELOAD = 2  # from the supervisor: read the configuration anew; the text says by whom it is asked
    EXCHANGE = 3  # from the courier: go on with this configuration
    EXCHANGED = 4  # from the supervisor: done, or the problems, as a list
    STATUS = 5  # from the courier: a reload begins (no text), or is over (how we are)
    BOUND = 6  # from the courier: it listens there, for health and metrics
    STOPPING = 7  # from the supervisor: no new mail is taken


class Seat(Struct, frozen=True, kw_only=True):
    """A place in the house.

    `sockets` are its own, `ports` have those of all edges; `is_first` when nobody has worked in this house before.
    The courier alone has a `link`.
    """

    config: Config
    file: Path
    board: Board
    place: int
    lock: Lock
    sockets: Inherited
    ports: Ports
    is_first: bool
    link: Link | None = None

    def start(self) -> int:
        """A number that differs between lives, and between all processes that live at one time: it begins ids."""
        return random.SystemRandom().randrange(1 << 40) << 8 | self.place


Role = Callable[[Seat], int]


class Roles(Struct, frozen=True):
    """What the processes do; each leaves with an exit code."""

    courier: Role
    edge: Role
