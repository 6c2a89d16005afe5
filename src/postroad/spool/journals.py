"""All journals of one spool: ours, and those that other processes write, or wrote; each is kept short.

Without other processes there is one, unless mail still waits in a journal of a process that is no more.
"""

from collections.abc import Callable

from postroad.model.records import Emit
from postroad.spool.catalog import Catalog
from postroad.spool.clock import Clock
from postroad.spool.commit import Commits
from postroad.spool.follow import Admit, Followers, Nobody, Others
from postroad.spool.ledger import Ledger
from postroad.spool.maintain import Maintenance
from postroad.spool.ops import Position
from postroad.spool.reading import Reader
from postroad.spool.recover import Opened
from postroad.spool.worker import Worker


class Journals:
    """The followers of the others' journals, and the housekeeping of every one."""

    def __init__(  # noqa: PLR0913  parts of one spool, passed by name
        self,
        own: str,
        catalog: Catalog,
        ledger: Ledger,
        reader: Reader,
        commits: Commits,
        *,
        opened: Opened,
        segment_size: int,
        reading: Worker,
        clock: Clock,
        emit: Emit,
        has_room: Callable[[], bool],
        others: Others | None,
    ) -> None:
        """Begin with what recovery has `opened`; `own` is the journal that we write."""
        self._own = own
        self._catalog = catalog
        self._ledger = ledger
        self._reader = reader
        self._commits = commits
        self._segment_size = segment_size
        self._clock = clock
        self._emit = emit
        self._has_room = has_room
        self._is_alone = others is None
        self._keeping: dict[str, Maintenance] = {}
        self._followers = Followers(
            reader,
            opened.mark,
            catalog,
            ledger,
            reading=reading,
            clock=clock,
            emit=emit,
            end=lambda: commits.end,
            others=others or Nobody(),
        )
        self._main = self._keep_own(opened)
        self._followers.added = self._keep_other
        for name in reader.layout.journal_names():
            if name != own:
                end = opened.ends.get(name)
                self._followers.know(name, (0, 0) if end is None else (end.segment, end.offset))
        if self._followers.names() or others is not None:
            ledger.follow(lambda: (Position(own, *commits.end), *self._followers.positions()))

    def follow(self, admit: Admit) -> None:
        """Begin to give `admit` what others accept."""
        self._followers.start(admit)

    def look(self) -> None:
        """Another process has accepted something, or there is time again for what it has accepted."""
        self._followers.look()

    def tick(self) -> None:
        """An index interval has passed."""
        for one in self._keeping.values():
            one.drop_dead()
        if not self._is_alone:
            self._followers.look()

    async def maintain(self) -> None:
        """See `Spool`."""
        for one in tuple(self._keeping.values()):
            await one.run()

    def stop(self) -> None:
        """Take in nothing more."""
        self._followers.stop()

    # -- housekeeping ----------------------------------------------------------------------------

    def _keep_own(self, opened: Opened) -> Maintenance:
        commits, followers = self._commits, self._followers
        kept = Maintenance(
            self._catalog,
            self._ledger,
            self._reader,
            journal=self._own,
            segment_size=self._segment_size,
            clock=self._clock,
            emit=self._emit,
            add=commits.add,
            limit=lambda: min(commits.end[0], followers.barrier()),
            has_room=self._has_room,
        )
        kept.start(min((number for name, number in opened.sizes if name == self._own), default=opened.following))
        self._keeping[self._own] = kept
        return kept

    def _keep_other(self, name: str) -> None:
        followers = self._followers
        kept = Maintenance(
            self._catalog,
            self._ledger,
            self._reader,
            journal=name,
            segment_size=self._segment_size,
            clock=self._clock,
            emit=self._emit,
            add=self._commits.add,
            limit=lambda: followers.limit(name),
            has_room=self._has_room,
            is_in_the_way=lambda number: followers.is_in_the_way(name, number, self._main.oldest),
            dropped=lambda number: followers.dropped(name, number),
        )
        kept.start(min(self._reader.layout.segment_numbers(name), default=1))
        self._keeping[name] = kept
