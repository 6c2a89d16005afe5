"""Reads the relay's log while it is written: counts records, keeps what must not be there, notes what was delivered.

One thread; each life of the relay has a log of its own, which is removed once it is read to its end, unless something
in it was wrong. What it keeps of a delivered recipient is one line in a file, so that millions fit.
"""

import threading
from collections import Counter, deque
from pathlib import Path
from typing import Final

import msgspec

BUGS: Final = frozenset({"DeliveryFaulted", "DeskFaulted", "PolicyFaulted", "RecordsDropped", "SpoolDamaged"})
FULL_DISK: Final = frozenset({"SpoolFull", "SpoolFaulted"})  # and what comes of it
REMEMBERED: Final = frozenset({"ConfigReloaded", "ConfigRefused", "ProcessStarted", "ProcessEnded"})
HURT: Final = ("ended by SIGKILL", "killed: it had been silent")  # what we do to processes, and a busy machine
KNOWN_TEXT: Final = (b"warning: running as root",)
KEPT_FAULTS: Final = 20
PAUSE: Final = 0.1
PART: Final = 4 << 20


class Entry(msgspec.Struct):
    """What is read of a line."""

    record: str
    at: int
    id: str = ""
    recipient: str = ""
    name: str = ""
    pid: int = 0
    reason: str = ""


class Watch:
    """The logs of all lives, in order; `follow` names the next one, `finish` waits until all is read."""

    def __init__(self, delivered: Path) -> None:
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self.fault_count = 0
        self.full: list[float] = []  # when a full disk was told
        self.processes: dict[str, int] = {}  # by name, the process of that name that began last
        self._lock = threading.Condition()
        self._recent: deque[Entry] = deque(maxlen=1000)
        self._logs: deque[Path] = deque()
        self._is_over = False
        self._delivered = delivered.open("w", buffering=1 << 16)
        self._decode = msgspec.json.Decoder(Entry).decode
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def follow(self, log: Path) -> None:
        """A new life writes to `log`; the one before it writes no more."""
        with self._lock:
            self._logs.append(log)

    def finish(self) -> None:
        """No life writes any more: read the rest."""
        self._is_over = True
        self._thread.join(300)
        self._delivered.close()

    def await_record(self, kinds: frozenset[str], since: float, seconds: float, name: str = "") -> str:
        """The first record of `kinds`, about the process `name` if given, from `since` on; "": none came in time."""

        def found() -> str:
            return next(
                (e.record for e in self._recent if e.record in kinds and e.at >= since * 1e6 and e.name == name), ""
            )

        with self._lock:
            self._lock.wait_for(found, seconds)
            return found()

    def _run(self) -> None:
        while True:
            with self._lock:
                log = self._logs[0] if self._logs else None
                is_last = len(self._logs) == 1
            if log is None:
                if self._is_over:
                    return
                threading.Event().wait(PAUSE)
                continue
            self._read(log, is_last=is_last)

    def _read(self, log: Path, *, is_last: bool) -> None:
        before = self.fault_count
        with log.open("rb") as source:
            rest = b""
            while True:
                over = self._is_over or not is_last
                part = source.read(PART)
                if part:
                    lines = (rest + part).split(b"\n")
                    rest = lines.pop()
                    self._lines(lines)
                elif over:
                    break  # a line that a kill cut short is none
                else:
                    threading.Event().wait(PAUSE)
                with self._lock:
                    is_last = len(self._logs) == 1
        with self._lock:
            self._logs.popleft()
        if self.fault_count == before:
            log.unlink()

    def _lines(self, lines: list[bytes]) -> None:
        heard: list[Entry] = []
        for line in lines:
            try:
                entry = self._decode(line)
            except msgspec.DecodeError:
                if not line.startswith(KNOWN_TEXT):
                    self._fault(line)
                continue
            self.counts[entry.record] += 1
            if entry.record == "RecipientDelivered":
                self._delivered.write(f"{entry.at / 1e6:.6f} {entry.id} {entry.recipient}\n")
            elif entry.record in BUGS or (entry.record == "ProcessLost" and not entry.reason.startswith(HURT)):
                self._fault(line)
            elif entry.record in FULL_DISK:
                self.full.append(entry.at / 1e6)
            if entry.record in REMEMBERED:
                heard.append(entry)
                if entry.record == "ProcessStarted":
                    self.processes[entry.name] = entry.pid
        if heard:
            with self._lock:
                self._recent.extend(heard)
                self._lock.notify_all()

    def _fault(self, line: bytes) -> None:
        self.fault_count += 1
        if len(self.faults) < KEPT_FAULTS:
            self.faults.append(line.decode("utf-8", "replace")[:2000])
