"""What happens to the relay and its next hops, each in a thread with dice of its own: deaths, reloads, a full disk.

Who dies is the one process, or with edges mostly one of them or the courier, at times the supervisor with all of them.
"""

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.soak.disk import empty, fill
from tests.soak.plan import BROKEN, Plan
from tests.soak.site import Relay, SinkProcess
from tests.support.families import descendants, send_signal

ANSWER_SECONDS = 20.0
ANSWERS = frozenset({"ConfigReloaded", "ConfigRefused"})
REPLACED = frozenset({"ProcessStarted", "ProcessEnded"})  # ended: after a reload it was about to leave anyway
TERMINATE_SHARE = 0.15
CHILD_SHARE = 0.75  # of deaths, where there are several processes: one of the children
COURIER_SHARE = 0.3  # of those
HANG_SHARE = 0.25  # of the rest: an edge is stopped instead of killed, and has to be replaced all the same
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
        self._excused = 0.0  # until when a start may fail, for lack of room
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
            if self.plan.edges and chance.random() < CHILD_SHARE:
                self._hurt(chance)
            else:
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
            relay.start(lambda: time.time() < self._excused)

    def _hurt(self, chance: random.Random) -> None:
        """One of several processes dies or hangs; another must take its place."""
        relay = self.relay
        with relay.lock:
            alive = descendants(relay.pid) if relay.pid else set[int]()
            known = {name: pid for name, pid in relay.watch.processes.items() if pid in alive}
            edges = sorted(set(known) - {"courier"})
            name = "courier" if "courier" in known and chance.random() < COURIER_SHARE else ""
            if not name and edges:
                name = chance.choice(edges)
            if not name:
                return  # not everybody has begun yet
            is_stopped = name != "courier" and chance.random() < HANG_SHARE
            hurt = time.time()
            send_signal(known[name], signal.SIGSTOP if is_stopped else signal.SIGKILL)
            relay.lives.children.append((time.time(), f"{name} {'stopped' if is_stopped else 'killed'}"))
            if not relay.watch.await_record(REPLACED, hurt, ANSWER_SECONDS, name):
                self._trouble(f"nobody took the place of {name}")

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
        self._excused = float("inf")
        fill(self.disk)
        try:
            self._over.wait(self.plan.disk_full / 3)
            threading.Thread(target=self._guard, args=(self._die_and_rise, 0), daemon=True).start()
            self._over.wait(self.plan.disk_full * 2 / 3)
        finally:
            empty(self.disk)
            self._excused = time.time() + ANSWER_SECONDS
            self.full = (began, time.time())

    def _die_and_rise(self, chance: random.Random) -> None:
        """In a thread of its own: until there is room again it may not be able to start."""
        self._die(is_drained=False)

    # -- reloads -------------------------------------------------------------------------------

    def _reloads(self, chance: random.Random) -> None:
        kind = "A"
        while not self._over.wait(chance.uniform(*self.plan.reload_every)):
            # A good one replaces all edges: in the calm they are to live, so that their growth would show.
            if chance.random() < BROKEN_SHARE or (self.plan.edges and self._calm.is_set()):
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
            life, children, asked = relay.lives.relay[-1], len(relay.lives.children), time.time()
            relay.reload()
        answer = self._answer(asked)
        if answer == "ConfigReloaded":
            self.reloads["done"] += 1
        elif relay.lives.relay[-1] is not life or not relay.pid or len(relay.lives.children) > children:
            self.reloads["cut short by a death"] += 1
        else:
            self._trouble(f"a reload to configuration {kind} came to {answer or 'nothing'}")

    def _answer(self, asked: float) -> str:
        """What became of the reload that was asked for then; "" when nothing came of it, or the relay is gone."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while not (answer := self.relay.watch.await_record(ANSWERS, asked, 0.5)):
            if not self.relay.pid or time.monotonic() > deadline:
                break
        return answer

    def _break(self, what: str, kind: str) -> None:
        """A broken configuration: it must be refused; then the good one is put back, before anybody starts with it."""
        relay = self.relay
        with relay.lock:
            if not relay.pid:
                return
            relay.configure(what)
            asked = time.time()
            relay.reload()
            answer = self._answer(asked)
            alive = relay.pid
            relay.configure(kind)
        if answer == "ConfigRefused":
            self.reloads["refused"] += 1
        elif alive:
            self._trouble(f"a configuration with {what} came to {answer or 'nothing'}")
