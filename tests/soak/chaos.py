"""What happens to the relay and its next hops, each in a thread with dice of its own: deaths, reloads, a full disk.

Who dies is chosen by `victim`: the one process, or with edges one of them, the courier, or the supervisor.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.soak.disk import empty, fill
from tests.soak.plan import BROKEN, Plan
from tests.soak.site import Relay, SinkProcess

ANSWER_SECONDS = 20.0
ANSWERS = frozenset({"ConfigReloaded", "ConfigRefused"})
TERMINATE_SHARE = 0.15
BROKEN_SHARE = 0.25


class Chaos:
    """Runs until `stop`; the relay dies only until `be_calm`. What went wrong is in the relay's `lives.troubles`."""

    def __init__(self, plan: Plan, relay: Relay, sinks: list[SinkProcess], disk: Path) -> None:
        self.plan = plan
        self.relay = relay
        self.sinks = sinks
        self.disk = disk
        self.reloads: Counter[str] = Counter()
        self.full: tuple[float, float] | None = None
        self.drains: list[tuple[float, float]] = []
        self._calm = threading.Event()
        self._over = threading.Event()
        self._is_full = False
        works: list[Callable[[random.Random], None]] = [self._deaths, self._reloads, self._full_disk]
        works += [self._sink_deaths(sink) for sink in sinks]
        self._threads = [
            threading.Thread(target=self._guard, args=(work, plan.seed + number), daemon=True)
            for number, work in enumerate(works)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def be_calm(self) -> None:
        """The relay lives from now on."""
        self._calm.set()

    def stop(self) -> None:
        """No deaths and reloads any more; what died has been started again, and configuration A is in force."""
        self._calm.set()
        self._over.set()
        for thread in self._threads:
            thread.join(ANSWER_SECONDS * 5)
            if thread.is_alive():
                self._trouble("a thread of the soak did not end")

    def _trouble(self, text: str) -> None:
        self.relay.lives.trouble(text)

    def _guard(self, work: Callable[[random.Random], None], seed: int) -> None:
        try:
            work(random.Random(seed))
        except Exception as error:  # noqa: BLE001  a thread's end must be told, and the others go on
            self._trouble(f"{type(error).__name__}: {error}")

    # -- deaths --------------------------------------------------------------------------------

    def _deaths(self, chance: random.Random) -> None:
        while not self._calm.wait(chance.uniform(*self.plan.life)):
            self._die(is_drained=chance.random() < TERMINATE_SHARE)

    def _die(self, *, is_drained: bool) -> None:
        relay = self.relay
        with relay.lock:
            if is_drained:
                began = time.time()
                relay.terminate()
                self.drains.append((began, time.time()))
            else:
                relay.kill()
            relay.start(lambda: self._is_full)

    def _sink_deaths(self, sink: SinkProcess) -> Callable[[random.Random], None]:
        def work(chance: random.Random) -> None:
            while not self._over.wait(chance.uniform(*self.plan.sink_life)):
                sink.kill()
                self._over.wait(chance.uniform(*self.plan.sink_death))
                sink.start()

        return work

    # -- the disk ------------------------------------------------------------------------------

    def _full_disk(self, chance: random.Random) -> None:
        """Once, in the middle of the storm; the relay dies in the middle of that."""
        if self._calm.wait(self.plan.storm / 2):
            return
        began = time.time()
        self._is_full = True
        fill(self.disk)
        try:
            self._over.wait(self.plan.disk_full / 2)
            self.relay.kill()
            threading.Thread(target=self._guard, args=(self._rise, 0), daemon=True).start()
            self._over.wait(self.plan.disk_full / 2)
        finally:
            empty(self.disk)
            self._is_full = False
            self.full = (began, time.time())

    def _rise(self, chance: random.Random) -> None:
        with self.relay.lock:
            if not self.relay.pid:
                self.relay.start(lambda: self._is_full)

    # -- reloads -------------------------------------------------------------------------------

    def _reloads(self, chance: random.Random) -> None:
        kind = "A"
        while not self._over.wait(chance.uniform(*self.plan.reload_every)):
            if chance.random() < BROKEN_SHARE:
                self._break(chance.choice(sorted(BROKEN)), kind)
            else:
                kind = "B" if kind == "A" else "A"
                self._exchange(kind)
        self._exchange("A")

    def _exchange(self, kind: str) -> None:
        """Another good configuration: it must be in force soon, unless the relay dies over it."""
        relay = self.relay
        relay.configure(kind)
        with relay.lock:  # while it starts it may not be ready for signals
            life, asked = relay.lives.relay[-1], time.time()
            relay.reload()
        answer = relay.watch.await_record(ANSWERS, asked, ANSWER_SECONDS)
        if answer == "ConfigReloaded":
            self.reloads["done"] += 1
        elif relay.lives.relay[-1] is not life or not relay.pid:
            self.reloads["cut short by a death"] += 1
        else:
            self._trouble(f"a reload to configuration {kind} came to {answer or 'nothing'}")

    def _break(self, what: str, kind: str) -> None:
        """A broken configuration: it must be refused; then the good one is put back, before anybody starts with it."""
        relay = self.relay
        with relay.lock:
            if not relay.pid:
                return
            relay.configure(what)
            asked = time.time()
            relay.reload()
            answer = relay.watch.await_record(ANSWERS, asked, ANSWER_SECONDS)
            alive = relay.pid
            relay.configure(kind)
        if answer == "ConfigRefused":
            self.reloads["refused"] += 1
        elif alive:
            self._trouble(f"a configuration with {what} came to {answer or 'nothing'}")
