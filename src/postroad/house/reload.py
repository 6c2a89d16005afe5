"""A reload: the file is read and checked whole, what it needs is made and bound, then everything is exchanged at once.

Until the exchange nothing changes, and nothing after it can fail: a broken file, an address that is taken, a secret
that cannot be read leave the configuration in force as it is, with a record and an answer that say why. One reload
at a time; those asked for meanwhile wait.
"""

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from postroad.config.checks.host import check_host
from postroad.config.diff import differences, keep_running
from postroad.config.load import Loaded, inspect_config
from postroad.config.problem import Warned
from postroad.config.schema import Config
from postroad.desk.protocol import Reloaded
from postroad.house.courier import courier_of
from postroad.house.front import Front, front_of
from postroad.house.house import House, around_of
from postroad.house.injection import rules_of
from postroad.house.known import Known, read_known, reads_elsewhere
from postroad.listener.doors import Door
from postroad.model.errors import ConfigError, PostroadError
from postroad.model.option import OptionChange
from postroad.model.records import ConfigRefused, ConfigReloaded
from postroad.net.process.notify import Notifier

Others = Callable[[Config], Awaitable[None]]


class Read(NamedTuple):
    """A sound configuration as the reload takes it, what it changes, and doubts about it."""

    config: Config
    changes: tuple[OptionChange, ...]
    warnings: tuple[str, ...]


class Reloader:
    """Reloads the configuration of one house from one file."""

    def __init__(self, house: House, file: Path, notifier: Notifier, others: Others | None = None) -> None:
        """`file` is what the server was started with; `notifier` is told while a reload goes on.

        `others` lets the processes that take mail, when there are any, go on by another configuration; ConfigError.
        """
        self._others = others
        self._house = house
        self._file = file
        self._notifier = notifier
        self._one = asyncio.Lock()

    async def reload(self, by: str) -> Reloaded:
        """Go on by what the file says now, or say why not; `by` asked for it."""
        async with self._one:
            house = self._house
            self._notifier.reloading()
            try:
                done = await self._exchange()
                kept = tuple(change.option for change in done.changes if change.effect)
                changes = tuple(str(change) for change in done.changes if not change.effect)
                now = house.clock.now()
                house.emit(ConfigReloaded(at=now, by=by, changes=changes, kept=kept, warnings=done.warnings))
            except ConfigError as error:
                done = Reloaded(str(self._file), problems=tuple(str(error).splitlines()))
                house.emit(ConfigRefused(at=house.clock.now(), by=by, problems=done.problems))
            finally:
                self._notifier.ready(f"running as {house.config.hostname}")
            return done

    async def compare(self, file: Path) -> Reloaded:
        """What a reload from `file` would change, or why it would be refused; nothing changes."""
        try:
            read = await asyncio.to_thread(read_for, self._house.config, file)
        except ConfigError as error:
            return Reloaded(str(file), problems=tuple(str(error).splitlines()))
        return Reloaded(str(file), read.changes, warnings=read.warnings)

    async def _exchange(self) -> Reloaded:
        house = self._house
        try:
            read, known = await asyncio.to_thread(read_all, house, self._file)
        except ConfigError:
            raise
        except Exception as error:  # whatever it is, the configuration in force must stay
            raise ConfigError([f"internal error while reading: {traceback.format_exc()}"]) from error
        courier = front = None
        try:
            courier = courier_of(read.config, house.tools, house.courier)
            front = front_of(read.config, known, courier.rewrite, house.way)
            around = around_of(read.config)
            rules = await asyncio.to_thread(rules_of, front, house.way)  # reads files
            doors = await self._prepare(read.config, front)
        except BaseException as error:
            await known.close(house.front.known)
            if courier is not None and courier.resolver is not house.courier.resolver:
                courier.resolver.close()
            if front is not None:
                front.asked.close()
            if isinstance(error, PostroadError) and not isinstance(error, ConfigError):
                raise ConfigError([str(error)]) from error
            raise
        house.adopt(courier, front, doors, around, rules)
        return Reloaded(str(self._file), read.changes, warnings=read.warnings)

    async def _prepare(self, config: Config, front: Front) -> list[Door]:
        """Nothing can fail any more after this."""
        if self._others is None:
            return await self._house.listeners.prepare(config.listeners, front.welcome)
        if config != self._house.config or reads_elsewhere(config):
            await self._others(config)
        return []


def read_for(running: Config, file: Path) -> Read:
    """What `file` says, beside `running`; ConfigError with every reason against taking it."""
    loaded = inspect_config(file)
    if loaded.config is None:
        raise ConfigError(loaded.lines(loaded.problems))
    host = check_host(loaded.config)
    if problems := [problem for problem in host if not isinstance(problem, Warned)]:
        raise ConfigError(loaded.lines(problems))
    changes = differences(running, loaded.config)
    if refused := [change for change in changes if change.refused]:
        raise ConfigError([f"{change.option} cannot change while the server runs: {change}" for change in refused])
    return Read(keep_running(running, loaded.config), tuple(changes), _warnings(loaded, changes))


def read_all(house: House, file: Path) -> tuple[Read, Known]:
    """The same beside that of `house`, with what it reads of other files; may take its time."""
    read = read_for(house.config, file)
    return read, read_known(read.config, house.keys, house.clock, house.emit, house.front.known)


def _warnings(loaded: Loaded, changes: list[OptionChange]) -> tuple[str, ...]:
    kept = [f"{change.option} stays as it is: {change.effect}" for change in changes if change.effect]
    return (*kept, *loaded.lines(loaded.warnings))
