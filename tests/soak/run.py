"""One soak from its first process to its last comparison.

Capacity is measured first, with a relay of its own; then the storm, the calm, and the end: clients stop, next hops are
all there, the queue must empty itself and the relay be as small as it was before.
"""

import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from postroad.queue.crew import PARKED_LIMIT
from tests.soak.account import Deaths, Sent, Taken, judge
from tests.soak.chaos import Chaos
from tests.soak.disk import octets_below
from tests.soak.gauges import Gauges, of_process
from tests.soak.plan import MIB, SINKS, Plan, Ports
from tests.soak.report import Findings
from tests.soak.site import ClientProcess, Lives, Relay, SinkProcess
from tests.soak.watch import Watch
from tests.soak.wire import low_port
from tests.support.families import descendants

CLIENTS = 2
DRAIN_SECONDS = 120.0
QUIET_SECONDS = 60.0
SPARE_FILES = 4  # the index and segments are opened as they are needed
SPARE_OCTETS = 64 * MIB  # of the spool without mail: the newest segment of each journal, the index, the reserve
AT_REST = (
    "postroad_queue_messages",
    "postroad_sessions",
    "postroad_pool_idle_connections",
    "postroad_deliveries_running",
)


class Rest(NamedTuple):
    """A relay that has nothing to do: open files, tasks, octets of its spool on the disk."""

    files: int
    tasks: float
    octets: int


class Soak:
    """One run."""

    def __init__(self, plan: Plan, folder: Path, disk: Path, disk_kind: str) -> None:
        self.plan = plan
        self.folder = folder
        self.disk = disk
        self.disk_kind = disk_kind
        self.faults: list[str] = []
        self.quiet: list[str] = []
        self.said: list[Path] = []
        self._cleanup = ExitStack()

    def run(self) -> Findings:
        """Measure, soak, compare; no process is left, whatever happens."""
        with self._cleanup:
            return self._run()

    def _run(self) -> Findings:
        plan, lives = self.plan, Lives()
        capacity = self._capacity()
        rate = max(capacity * plan.share, 10.0)
        _say(f"capacity {capacity:.0f} messages/s; {plan.storm + plan.calm:.0f} s at {rate:.0f}/s follow")
        watch = Watch(self.folder / "delivered")
        sinks, relay = self._site("soak", {name: name for name in SINKS}, lives, watch)
        relay.start()
        time.sleep(2)
        before = self._at_rest(relay)
        gauges, chaos = Gauges(relay), Chaos(plan, relay, sinks, self.disk)
        clients = self._clients(relay, "soak", rate)
        began = time.monotonic()
        chaos.start()
        time.sleep(plan.storm)
        chaos.be_calm()
        time.sleep(plan.calm)
        chaos.stop()
        self._stop_clients(clients)
        seconds = time.monotonic() - began
        self._come_to_rest(relay, before)
        gauges.stop()
        with relay.lock:
            relay.terminate()
        if damage := relay.spool_damage():
            self.faults.append(f"postroad spool verify: {damage}")
        watch.finish()
        for sink in sinks:
            sink.kill()
        found = self._compare(clients, sinks, chaos, lives, watch)
        found.capacity, found.rate, found.seconds = capacity, rate, seconds
        found.samples = gauges.samples
        found.faults += gauges.growths()
        return found

    # -- parts ---------------------------------------------------------------------------------

    def _site(self, name: str, tempers: dict[str, str], lives: Lives, watch: Watch) -> tuple[list[SinkProcess], Relay]:
        folder = self.folder / name
        folder.mkdir()
        ports = Ports(low_port(), low_port(), low_port(), {sink: low_port() for sink in tempers})
        sinks = [
            SinkProcess(temper, ports.sinks[sink], folder / f"sink-{sink}", lives, self.plan.seed)
            for sink, temper in tempers.items()
        ]
        for sink in sinks:
            sink.start()
            self._cleanup.callback(sink.kill)
            self.said.append(sink.said)
        data = self.disk / name / "data"
        data.mkdir(parents=True)
        relay = Relay(folder, data, ports, self.plan.edges, lives, watch)
        self._cleanup.callback(relay.kill)
        return sinks, relay

    def _clients(self, relay: Relay, name: str, rate: float) -> list[ClientProcess]:
        folder, seed = self.folder / name, self.plan.seed
        clients = [
            ClientProcess(relay.ports.relay, folder / f"client-{n}", f"{name}{n}-", rate / CLIENTS, seed + n)
            for n in range(CLIENTS)
        ]
        for client in clients:
            self._cleanup.callback(client.kill)
            self.said.append(client.said)
        return clients

    def _stop_clients(self, clients: list[ClientProcess]) -> None:
        self.faults += [f"a client {wrong}" for client in clients if (wrong := client.stop())]

    def _capacity(self) -> float:
        """Messages a second that come through at most, all next hops calm: accepted, to the last one's arrival."""
        lives, watch = Lives(), Watch(self.folder / "capacity-delivered")
        sinks, relay = self._site("capacity", dict.fromkeys(SINKS, "calm"), lives, watch)
        relay.start()
        begin = time.time()
        clients = self._clients(relay, "capacity", 0)
        time.sleep(self.plan.capacity)
        self._stop_clients(clients)
        self._wait(relay, DRAIN_SECONDS)
        relay.terminate()
        for sink in sinks:
            sink.kill()
        watch.finish()
        taken = _taken(sinks)
        if not taken.first:
            raise RuntimeError(f"no message came through at all; {self.faults} {self._sayings()}")
        return len({number for number, _ in taken.first}) / (max(one.at for one in taken.first.values()) - begin)

    def _wait(self, relay: Relay, seconds: float) -> dict[str, float]:
        """The metrics, once nothing waits and nobody is connected; a fault when that does not come."""
        deadline = time.monotonic() + seconds
        while True:
            found = relay.metrics()
            if found and not any(found[name] for name in AT_REST):
                return found
            if time.monotonic() > deadline:
                self.faults.append(f"after {seconds:.0f} s: { {name: found.get(name) for name in AT_REST} }")
                return found
            time.sleep(0.5)

    def _at_rest(self, relay: Relay) -> Rest:
        """The size of a relay that nobody uses."""
        if not relay.pid:
            self.faults.append("the relay does not run when it should be at rest")
            return Rest(0, 0.0, 0)
        family = (relay.pid, *descendants(relay.pid))
        files = sum(of_process(pid)[1] for pid in family)
        return Rest(files, relay.metrics().get("postroad_tasks", 0.0), octets_below(relay.data / "spool"))

    def _come_to_rest(self, relay: Relay, before: Rest) -> None:
        """After the load it must be as it was before."""
        self._wait(relay, DRAIN_SECONDS)
        deadline = time.monotonic() + QUIET_SECONDS
        while True:
            now = self._at_rest(relay)
            if (
                now.files <= before.files + SPARE_FILES
                and now.tasks <= before.tasks + PARKED_LIMIT
                and now.octets <= SPARE_OCTETS
            ):
                break
            if time.monotonic() > deadline:
                self.faults.append(f"at rest it does not become as small as it was before the load: {now}")
                break
            time.sleep(1)
        self.quiet.append(
            f"at rest before and after: files {before.files} and {now.files}, tasks {before.tasks:.0f} and "
            f"{now.tasks:.0f} (of which {PARKED_LIMIT} may be parked for the next deliveries), "
            f"MiB of spool {before.octets / MIB:.0f} and {now.octets / MIB:.0f}"
        )

    def _compare(
        self, clients: list[ClientProcess], sinks: list[SinkProcess], chaos: Chaos, lives: Lives, watch: Watch
    ) -> Findings:
        sent = Sent()
        for client in clients:
            with client.notes.open() as notes:
                sent.read(notes)
        taken = _taken(sinks)
        deaths = Deaths(
            relay=[
                *(life.ended for life in lives.relay if life.way in {"killed", "fell"}),
                *(at for at, name in lives.children if name.startswith("courier")),
            ],
            drains=chaos.drains,
            sinks=lives.sinks,
            full=chaos.full,
        )
        verdict = judge(sent, taken, deaths, self._settled(taken))
        return Findings(
            disk=self.disk_kind,
            edges=self.plan.edges,
            capacity=0.0,
            rate=0.0,
            seconds=0.0,
            sent=sent,
            taken=taken,
            verdict=verdict,
            deaths=Counter([*(life.way for life in lives.relay), *(name for _, name in lives.children)]),
            sink_deaths=Counter(name for _, name in lives.sinks),
            reloads=chaos.reloads,
            records=watch.counts,
            samples={},
            quiet=self.quiet,
            faults=[
                *self.faults,
                *lives.troubles,
                *verdict.faults,
                *_log_faults(watch, deaths),
                *_idle(chaos, sent),
                *self._sayings(),
            ],
        )

    def _sayings(self) -> list[str]:
        """What clients and sinks wrote on stderr, which they do when they are broken themselves."""
        texts = {path: path.read_text(errors="replace") for path in self.said if path.exists()}
        return [f"{path.name}: {text[-1000:]}" for path, text in texts.items() if text]

    def _settled(self, taken: Taken) -> dict[tuple[str, str], list[float]]:
        """When what came twice was delivered, as the log has it."""
        wanted = {(arrivals[0].id, key[1]) for key, arrivals in taken.again.items()}
        found: dict[tuple[str, str], list[float]] = {}
        with (self.folder / "delivered").open() as lines:
            for line in lines:
                at, queue_id, recipient = line.split()
                if (queue_id, recipient) in wanted:
                    found.setdefault((queue_id, recipient), []).append(float(at))
        return found


def _taken(sinks: list[SinkProcess]) -> Taken:
    taken = Taken()
    for sink in sinks:
        if sink.notes.exists():
            with sink.notes.open() as notes:
                taken.read(sink.temper, notes)
    return taken


def _log_faults(watch: Watch, deaths: Deaths) -> list[str]:
    faults = [f"in the log: {line}" for line in watch.faults]
    begin, end = deaths.full or (0.0, 0.0)
    outside = [at for at in watch.full if not begin - 1 <= at <= end + 15]
    if outside:
        faults.append(f"the log tells of a full disk {len(outside)} times when it was not")
    return faults


def _idle(chaos: Chaos, sent: Sent) -> list[str]:
    """A soak in which little happened proves little."""
    faults = []
    if not sent.accepted:
        faults.append("nothing was accepted")
    if chaos.full is None:
        faults.append("the disk was never full")
    if not chaos.reloads["done"] or not chaos.reloads["refused"]:
        faults.append(f"too few reloads: {dict(chaos.reloads)}")
    return faults


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
