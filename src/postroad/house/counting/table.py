"""The memory in which `[[rates]]` are counted: one table for all processes of a server.

It is made before any other process is begun and lives as long as the one that made it, so a process that dies takes no
count with it. Memory that nothing was counted in is not taken from the machine.
"""

import mmap
from typing import Final

from postroad.net.process.ranges import RangeLocks
from postroad.policy.rates.table import SET_OCTETS, WAYS, Table

LOCKS: Final = 256


def table_of(accounts: int, *, is_shared: bool) -> Table:
    """A table for about so many accounts; shared by the copies that are made of this process, if that is wanted."""
    sets = max(-(-accounts // WAYS), 1)
    memory = memoryview(mmap.mmap(-1, sets * SET_OCTETS))
    return Table(memory, RangeLocks(LOCKS) if is_shared else None)
