"""What a process saw of DMARC, on its way to the file that all processes share: every minute, and at the end.

Writing is done in a thread, since the processes wait for each other at the file. What came since the last time is lost
when the process is killed; what cannot be written stays for the next time.
"""

import asyncio
from typing import Final

from postroad.config.schema import Config
from postroad.house.reports.daily import EVERY, KEEP, Faults
from postroad.message.dmarcreport import Published, Seen, Tally
from postroad.model.errors import SpoolError
from postroad.model.records import Emit
from postroad.model.reportjob import DAY
from postroad.net.clock import Clock
from postroad.store.dmarcreports import DmarcReportStore

_LAST_TRIES: Final = 5  # at the end, when all processes write at once
IN_MEMORY: Final = 10_000  # different rows between two batches; beyond, only what is known already is counted


class DmarcTally:
    """One process's; `tally` is what the policy counts with, and counts nothing unless `[dmarc_reports]` has `from`."""

    def __init__(self, config: Config, clock: Clock, emit: Emit) -> None:
        """Nothing is opened yet."""
        settings = config.dmarc_reports
        is_on = settings is not None and settings.from_ is not None
        ours = () if settings is None else settings.received_at
        self.tally = Tally(IN_MEMORY if is_on else 0, frozenset(address.lower() for address in ours))
        self._store = DmarcReportStore(config.dmarc_reports_file, is_in_thread=True)
        self._clock = clock
        self._faults = Faults(emit, clock)
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write, if there is anything to count."""
        if self.tally.is_on:
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Write what is left."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for _ in range(_LAST_TRIES):
            await self.write()
            if self.tally.is_empty:
                break
        self._store.close()

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(EVERY)
            await asyncio.shield(self.write())

    async def write(self) -> None:
        """Write what was counted, when what is being written is."""
        async with self._writing:
            counts = self.tally.take()
            if not counts:
                return
            try:
                await asyncio.to_thread(self._write, self._clock.now() // DAY, counts)
            except SpoolError as error:
                self.tally.give_back(counts)
                self._faults.tell(error)

    def _write(self, day: int, counts: dict[tuple[Published, Seen], int]) -> None:
        self._store.forget(day - KEEP)
        self._store.add(day, counts)
