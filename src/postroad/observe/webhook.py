"""Records for a webhook: batches go to the disk first, then, in order, to the receiver.

What is promised: a batch that is on the disk is sent until the receiver answers 2xx, also after kill -9 and restarts,
at least once, under one id; it is given up, counted and told only when it is older than `expire_after`. Records come
to the disk `delay` after they happened at the latest while the disk and the bound of the spool allow it; what is
younger at a kill -9 is lost uncounted.
"""

import asyncio
import hmac
import traceback
from base64 import b64encode
from collections.abc import Coroutine, Sequence
from hashlib import sha256
from threading import Thread
from typing import Final

import msgspec
from msgspec import Struct

from postroad import VERSION
from postroad.model.records import Record
from postroad.net.clock import Clock
from postroad.net.http.fetching import Answer
from postroad.net.http.poster import Poster, pause_after
from postroad.observe.formats.jsonlines import make_json
from postroad.observe.formats.lines import Encode
from postroad.observe.outlet import Around, MakeOutlet, Outlet
from postroad.observe.settings import SinkSettings, key_of
from postroad.observe.webhookspool import Batch, WebhookSpool

CLOSE_SECONDS: Final = 2.0  # for what waits, at the end; the rest goes at the next start
FIRST_PAUSE: Final = 1.0
RESCAN_EVERY: Final = 1.0  # seconds between looks for batches of other processes


class WebhookTerms(Struct, frozen=True):
    """The signing key (b"": none), the longest pause between attempts, and how old a batch may become, in seconds."""

    key: bytes
    retry_max: float
    expire_after: float


def body_of(batch_id: str, sink: str, hostname: str, lines: Sequence[bytes]) -> bytes:
    """The request's body: the records of `lines`, each a JSON object."""
    head = msgspec.json.encode({"batch": batch_id, "sink": sink, "hostname": hostname})
    return head[:-1] + b',"records":[' + b",".join(line.rstrip(b"\n") for line in lines) + b"]}"


def headers_of(batch_id: str, body: bytes, *, key: bytes, now: int) -> dict[str, str]:
    """Id, time of this attempt and signature, as the Standard Webhooks specification (version 1.0.0) has them."""
    stamp = str(now // 1_000_000)
    headers = {"Content-Type": "application/json", "webhook-id": batch_id, "webhook-timestamp": stamp}
    if key:
        mac = hmac.new(key, f"{batch_id}.{stamp}.".encode() + body, sha256).digest()
        headers["webhook-signature"] = f"v1,{b64encode(mac).decode()}"
    return headers


class WebhookSender:
    """Sends what waits in a spool, oldest first, from an event loop and thread of its own."""

    def __init__(self, spool: WebhookSpool, poster: Poster, clock: Clock, terms: WebhookTerms) -> None:
        """Nothing happens before `start`."""
        self.fault = ""
        self.lost = 0
        self._spool = spool
        self._poster = poster
        self._clock = clock
        self._terms = terms
        self._more: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False
        self._thread: Thread | None = None

    def start(self, name: str) -> None:
        """Begin to send, once."""
        if self._thread is None:
            self._thread = Thread(target=lambda: asyncio.run(self._live()), name=f"webhook {name}", daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """A batch was added; called by any thread."""
        loop, more = self._loop, self._more
        if loop is not None and more is not None and not loop.is_closed():
            loop.call_soon_threadsafe(more.set)

    def close(self) -> bool:
        """End once nothing waits or an attempt fails; True when that was done within a few seconds."""
        self._closing = True
        if self._thread is None:
            return True
        self.wake()
        self._thread.join(CLOSE_SECONDS + 1.0)
        return not self._thread.is_alive()

    async def _live(self) -> None:
        self._loop, self._more = asyncio.get_running_loop(), asyncio.Event()
        while not self._closing:
            try:
                async with self._poster:
                    await self._send_all(self._more)
            except OSError as error:  # the file of certificates, a batch that cannot be read
                self.fault = f"{error.filename or 'webhook'}: {error.strerror or error}"
            except Exception:  # noqa: BLE001  seam: a bug here must not leave a webhook without its sender
                self.fault = traceback.format_exc()
            if not self._closing:
                await self._rest(FIRST_PAUSE)

    async def _send_all(self, more: asyncio.Event) -> None:
        tries = 0
        scanned = float("-inf")
        while True:
            more.clear()
            if self._clock.monotonic() - scanned >= RESCAN_EVERY:
                self._spool.rescan()
                scanned = self._clock.monotonic()
            batch = self._spool.first()
            if batch is None:
                if self._closing:
                    return
                await _first_of(more.wait(), self._clock.sleep(RESCAN_EVERY))
            elif self._clock.now() - batch.at > self._terms.expire_after * 1_000_000:
                self.lost += batch.records
                self._spool.remove(batch)
                tries = 0
            elif (answer := await self._try(batch)) is None:
                tries = 0
            else:
                tries += 1
                if self._closing:
                    return
                await self._rest(pause_after(tries, answer, longest=self._terms.retry_max))

    async def _try(self, batch: Batch) -> Answer | None:
        """Send `batch` once; the answer when it was not taken."""
        try:
            body = self._spool.read(batch)
        except FileNotFoundError:  # the administrator gave it up
            self._spool.remove(batch)
            return None
        headers = headers_of(batch.id, body, key=self._terms.key, now=self._clock.now())
        sending = asyncio.ensure_future(self._poster.post(body, headers))
        while not sending.done():
            await asyncio.wait((sending,), timeout=CLOSE_SECONDS / 4)
            if self._closing and not sending.done():
                await asyncio.wait((sending,), timeout=CLOSE_SECONDS / 2)
                sending.cancel()
                await asyncio.wait((sending,))
        answer = Answer(0, "cut off by our end") if sending.cancelled() else sending.result()
        if 200 <= answer.status < 300:
            self.fault = ""
            self._spool.remove(batch)
            return None
        self.fault = str(answer)
        return answer

    async def _rest(self, seconds: float) -> None:
        """Wait, but not for long once the end is near."""
        until = self._clock.monotonic() + seconds
        while not self._closing and (left := until - self._clock.monotonic()) > 0:
            await self._clock.sleep(min(left, CLOSE_SECONDS / 4))


async def _first_of(one: Coroutine[None, None, object], other: Coroutine[None, None, object]) -> None:
    tasks = (asyncio.ensure_future(one), asyncio.ensure_future(other))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


class WebhookOutlet:
    """An `Outlet` that makes one batch of each `write` and leaves the sending to a `WebhookSender`."""

    def __init__(
        self, name: str, encode: Encode, spool: WebhookSpool, sender: WebhookSender, clock: Clock, *, hostname: str
    ) -> None:
        """The spool is opened and the sender started by the first `idle` or `write`."""
        self._name = name
        self._encode = encode
        self._spool = spool
        self._sender = sender
        self._clock = clock
        self._hostname = hostname
        self._own_fault = ""
        self._is_open = False

    @property
    def fault(self) -> str:
        """What stops records from being kept, else what stops them from being sent."""
        return self._own_fault or self._sender.fault

    @property
    def lost(self) -> int:
        """Records of batches that became too old."""
        return self._sender.lost

    def write(self, records: Sequence[Record]) -> int:
        """Make one durable batch of `records`: all of them or none."""
        if not self._is_open and not self._open():
            return 0
        lines = [self._encode(record) for record in records]
        batch_id, at = self._spool.next_id(self._clock.now())
        body = body_of(batch_id, self._name, self._hostname, lines)
        if not self._spool.has_room(len(body)):
            self._own_fault = f"the spool is full: {self._spool.size} octets wait ({self._sender.fault or 'slow'})"
            return 0
        try:
            self._spool.put(Batch(batch_id, at, len(records), len(body)), body)
        except OSError as error:
            self._own_fault = f"the spool cannot be written: {error.strerror or error}"
            return 0
        self._own_fault = ""
        self._sender.wake()
        return len(records)

    def idle(self) -> None:
        """Open the spool if it is not, and become its sender when nobody else is."""
        if not self._is_open:
            self._open()
        elif not self._spool.is_claimed:
            self._claim()

    def _open(self) -> bool:
        try:
            self._spool.open()
        except OSError as error:
            self._own_fault = f"the spool cannot be used: {error.strerror or error}"
            return False
        self._own_fault = ""
        self._is_open = True
        self._claim()
        return True

    def _claim(self) -> None:
        try:
            if self._spool.claim(self._clock.now()):
                self._sender.start(self._name)
            else:
                self._spool.rescan()  # what waits in all; the process that has the lock sends ours too
        except OSError as error:
            self._own_fault = f"the spool cannot be used: {error.strerror or error}"

    def close(self) -> None:
        """Send what can be sent at once; the rest waits on the disk for the next start."""
        if self._sender.close():
            self._spool.release()


def _make(name: str, settings: SinkSettings, around: Around, clock: Clock) -> Outlet:
    spool = WebhookSpool(around.folder / name, limit=settings.spool_size)
    url, ca = settings.destination.url, settings.ca_file
    poster = Poster(url, timeout=settings.timeout, agent=f"postroad/{VERSION}", ca=ca)
    key = key_of(around.secrets.get(name, ""))
    sender = WebhookSender(spool, poster, clock, WebhookTerms(key, settings.retry_max, settings.expire_after))
    return WebhookOutlet(name, make_json(), spool, sender, clock, hostname=around.hostname)


make_webhook: Final[MakeOutlet] = _make
