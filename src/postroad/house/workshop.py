"""What is done by worker processes: one pool for the process, and the jobs that others hand in as plain callables.

A job that gets no worker is done as it was before there were any: in a thread, beside the event loop.
"""

import asyncio
from typing import Final

from postroad.config.schema import Config
from postroad.message.mime import to_quoted_printable
from postroad.model.errors import WorkError
from postroad.model.records import Emit
from postroad.net.clock import Clock
from postroad.net.workers.pool import WorkerPool, WorkTerms, workers_for

WORTH_IT: Final = 1 << 20  # octets of content whose conversion would hold up the loop for longer than handing it over
CONVERT_SECONDS: Final = 60.0


class Workshop:
    """The pool, and what it is used for."""

    def __init__(self, config: Config, clock: Clock, emit: Emit) -> None:
        """Nothing is started before the first job."""
        size = workers_for(config.process.workers)
        self.pool = WorkerPool(WorkTerms(size, config.process.worker_memory), clock, emit)

    async def convert(self, content: bytes) -> bytes | None:
        """Content in seven-bit lines, or None where that cannot be done."""
        if len(content) >= WORTH_IT:
            try:
                return await self.pool.run(to_quoted_printable, content, timeout=CONVERT_SECONDS)
            except WorkError:  # there is a record of it
                pass
        return await asyncio.to_thread(to_quoted_printable, content)
