"""Making way for another version of the program without refusing one connection: SIGUSR2, `postroad upgrade`.

First the program as it is now on disk rehearses a start, with the configuration as it is now; when that fails nothing
changes, with a record and an answer that say why. Then the process drains, and becomes that program (`net.handover`)
with its listening sockets, where the kernel keeps whoever connects meanwhile. Deliveries drain while mail is still
taken, so that a slow next hop does not make clients wait.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from postroad import VERSION
from postroad.desk.control import ControlServer
from postroad.house.house import House
from postroad.model.records import ConfigRefused
from postroad.net.process.handover import Handover
from postroad.net.process.inherited import MOST

REHEARSAL_SECONDS: Final = 45.0
DELIVERY_SECONDS: Final = 30.0
TRANSACTION_SECONDS: Final = 30.0
_LINES: Final = 50  # of what the rehearsal complains


class Program(Struct, frozen=True):
    """How this program was started: the words before its own first one, and its own."""

    prefix: tuple[str, ...]
    arguments: tuple[str, ...]


def program_of(executable: str, original: Sequence[str], arguments: Sequence[str]) -> Program:
    """The program of the interpreter's whole command line `original`, whose last words are the `arguments`."""
    return Program((executable, *original[1 : len(original) - len(arguments)]), tuple(arguments))


class Upgrader:
    """The upgrade of one house, started from one file."""

    def __init__(self, house: House, file: Path, program: Program, environment: Mapping[str, str]) -> None:
        """`environment` is for the next program."""
        self._house = house
        self._file = file
        self._program = program
        self._environment = environment
        self._asked = asyncio.Event()
        self._one = asyncio.Lock()
        self._is_going = False

    def ask(self) -> None:
        """By a signal."""
        self._asked.set()

    async def watch(self, go: Callable[[], None]) -> None:
        """Upgrade whenever a signal asks for it."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self.upgrade("SIGUSR2", go)

    async def upgrade(self, by: str, go: Callable[[], None]) -> tuple[str, ...]:
        """Rehearse, then `go`; or everything that speaks against it. `by` asked for it."""
        async with self._one:
            if self._is_going:
                return ("an upgrade is under way",)
            problems = await self._rehearse()
            if problems:
                now = self._house.clock.now()
                self._house.emit(ConfigRefused(at=now, by=f"{by}, to upgrade", problems=problems))
            else:
                self._is_going = True
                go()
            return problems

    async def hand_over(self, control: ControlServer) -> Handover:
        """Drain everything; what the next program needs. Nothing is closed yet but the listening sockets."""
        house, program = self._house, self._program
        given = control.hand_over()
        await house.dispatcher.drain(DELIVERY_SECONDS)
        given += await house.listeners.hand_over(TRANSACTION_SECONDS)
        if house.injection is not None:
            given += await house.injection.hand_over(TRANSACTION_SECONDS)
        if house.monitor is not None:
            given += house.monitor.hand_over()
        if house.acme is not None:
            given += house.acme.hand_over()
        return Handover((*program.prefix, *program.arguments), tuple(given), self._environment, VERSION)

    async def _rehearse(self) -> tuple[str, ...]:
        house = self._house
        have = list(house.listeners.addresses())
        for part in (house.monitor, house.injection, house.acme):
            have += part.addresses if part is not None else ()
        if len(have) >= MOST:  # and the control socket
            return (f"{len(have)} listening sockets are too many to be handed over: restart instead",)
        command = [*self._program.prefix, "check", "--start", "--config", str(self._file)]
        command += ["--data-dir", str(house.config.data_dir), *(f"--have={address}" for address in have)]
        try:
            child = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            return (f"{command[0]} cannot be run: {error.strerror}",)
        try:
            async with asyncio.timeout(REHEARSAL_SECONDS):
                _, told = await child.communicate()
        except TimeoutError:
            return (f"the new program has not checked itself within {REHEARSAL_SECONDS:.0f} seconds",)
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        return complaints(told, child.returncode) if child.returncode else ()


def complaints(told: bytes, code: int) -> tuple[str, ...]:
    """Why a rehearsal failed, from what it wrote and how it left."""
    lines = (line.removeprefix("postroad: ") for line in told.decode(errors="replace").splitlines())
    found = [line for line in lines if line.strip() and not line.startswith("warning: ")]
    return tuple(found[-_LINES:]) or (f"the new program left its check with {code} and said nothing",)
