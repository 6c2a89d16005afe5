"""Failure reports about DMARC: who asks for them is told at once of mail in his name that failed (RFC 7489 7.3).

Each process sends its own, by mail through its own way into the queue; how many a day is counted in the file that all
processes share. A flood makes no more: what is beyond the day's number is dropped, and so is what comes faster than
it can be sent. A report is worth no second try.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from postroad.house.reports.daily import Faults, Letter, Outbox, put_letter
from postroad.mailauth.dmarc_addressees import addressees
from postroad.mailauth.dmarc_record import split_size
from postroad.message.dmarcfailure import Failure, compose
from postroad.message.reportmail import Author, mailbox_of
from postroad.model.dns import Lookup
from postroad.model.errors import SpoolError
from postroad.model.records import Emit
from postroad.model.reportjob import DAY
from postroad.net.clock import Clock
from postroad.store.dmarcreports import DmarcReportStore

WAITING: Final = 100  # reports of one process that are not sent yet
IN_ALL: Final = 10_000  # a day, about all domains
_PATIENCE: Final = 10.0  # seconds within which DNS tells who is told
_ADDRESSEES: Final = 2
_SPENT: Final = 10_000  # domains that are known to have had all of theirs


class FailureReports:
    """Those of one process; `most` is how many a day tell of one domain."""

    def __init__(  # noqa: PLR0913  the composition root passes the parts by name
        self,
        file: Path,
        author: Author,
        most: int,
        *,
        lookup: Callable[[], Lookup],
        outbox: Outbox,
        clock: Clock,
        emit: Emit,
    ) -> None:
        """`lookup` gives the resolver in force; counts are in `file`."""
        self._file = file
        self._author = author
        self._most = most
        self._lookup = lookup
        self._outbox = outbox
        self._clock = clock
        self._faults = Faults(emit, clock)
        self._waiting: deque[Failure] = deque()
        self._spent: set[tuple[int, str]] = set()
        self._come = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def hear(self, failure: Failure) -> None:
        """One more message failed."""
        if len(self._waiting) < WAITING and (failure.at // DAY, failure.domain) not in self._spent:
            self._waiting.append(failure)
            self._come.set()

    def start(self) -> None:
        """Begin to send."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Send no more; what waits is dropped."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._come.wait()
            self._come.clear()
            await self.send()

    async def send(self) -> None:
        """Send what waits."""
        while self._waiting:
            failure = self._waiting.popleft()
            try:
                await self._send(failure)
            except SpoolError as error:
                self._faults.tell(error)

    async def _send(self, failure: Failure) -> None:
        day = failure.at // DAY
        if (day, failure.domain) in self._spent:
            return
        try:
            async with asyncio.timeout(_PATIENCE):
                wanted = await addressees(self._lookup(), failure.domain, "ruf")
        except TimeoutError:
            return
        if not wanted:
            return
        if not await asyncio.to_thread(self._claim, day, failure.domain):
            self._spend(day, failure.domain)
            return
        for number, uri in enumerate(wanted[:_ADDRESSEES]):
            await self._mail(failure, uri, number)

    def _claim(self, day: int, domain: str) -> bool:
        store = DmarcReportStore(self._file, is_in_thread=True)
        try:
            return store.claim(day, domain, self._most, IN_ALL)
        finally:
            store.close()

    async def _mail(self, failure: Failure, uri: str, number: int) -> None:
        address, limit = split_size(uri)
        to = mailbox_of(address)
        if to is None:
            return
        author, now = self._author, self._clock.now()
        message_id = f"<{failure.at}.{now}.{number}.dmarc-failure@{author.submitter}>"
        content = compose(failure, author.sender, to, message_id, now)
        if limit is None or len(content) <= limit:
            error = await put_letter(self._outbox, author.submitter, Letter(to, content, message_id), now)
            if error is not None:
                self._faults.tell(error)

    def _spend(self, day: int, domain: str) -> None:
        self._spent = {one for one in self._spent if one[0] == day}
        if len(self._spent) < _SPENT:
            self._spent.add((day, domain))
