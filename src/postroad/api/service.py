"""Every request of the API from its head to its answer: who asks, may they, is there room, was it asked before.

Invariant: nothing of a body is read before the key is known and its share of memory is taken; an answer of 202 is given
when the disk has the message, and the same request with the same Idempotency-Key gets the same answer and sends nothing
anew, also after a kill at any instant. RFC 9110 9.3.3 (POST), RFC 9110 10.2.3 (Retry-After).
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Struct

from postroad.api.ask import Asking, state_of
from postroad.api.decode import decode_batch, decode_message, decode_query
from postroad.api.door import Door, Parts
from postroad.api.exchange import BATCH, DOCUMENT, JSON, MESSAGES, RAW, TLS_REPORTS, Asked, Told, encode, problem_told
from postroad.api.failures import Failures
from postroad.api.keys import KeyRing, Scope, bearer
from postroad.api.once import Once, check_token
from postroad.api.outcomes import Outcomes
from postroad.api.problem import (
    BUSY,
    FORBIDDEN,
    LATER,
    MALFORMED,
    MEDIA_TYPE,
    METHOD,
    NO_KEY,
    NO_STORAGE,
    NOT_FOUND,
    TOO_LARGE,
    TOO_MANY,
    ApiError,
    told,
)
from postroad.api.schema import Message, MessageState, Result, Results, Taken
from postroad.api.settings import ApiSettings
from postroad.api.taking import Taking
from postroad.listener.intake import Intake
from postroad.model.envelope import Origin
from postroad.model.errors import SpoolError, SpoolFullError
from postroad.model.records import CommandRefused
from postroad.smtp import replies
from postroad.store.sent import Earlier, Sent

COMPOSERS: Final = 2  # threads; more would only take turns
ASK_SECONDS: Final = 10.0
REPORT_SIZE: Final = 2 << 20  # octets of a report of a stranger, packed
REPORTS_AT_ONCE: Final = 2

TakeReport = Callable[[bytes, str], Awaitable[str]]  # body and type; what is wrong with it, or ""


class Rules(Struct, frozen=True):
    """What a reload exchanges."""

    settings: ApiSettings
    ring: KeyRing
    parts: Parts
    take_report: TakeReport | None = None  # of strangers, about TLS with us


class Service:
    """Answers requests."""

    def __init__(self, rules: Rules, sent: Sent, outcomes: Outcomes, asking: Asking, document: bytes) -> None:
        """`document` is the OpenAPI description."""
        self._rules = rules
        self._taking = Taking(sent, outcomes)
        self._asking = asking
        self._document = document
        self._failures = Failures()
        self._running: Counter[str] = Counter()
        self._octets = 0
        self._in_use: Counter[int] = Counter()  # intakes that have messages of ours, by identity
        self._composers = ThreadPoolExecutor(COMPOSERS, "compose")
        self._once = Once(sent, outcomes)
        self._reports = 0  # that are being read

    def adopt(self, rules: Rules) -> None:
        """Answer requests to come by another configuration."""
        self._rules = rules

    @property
    def running(self) -> int:
        """Requests that are being answered."""
        return self._running.total()

    def close(self) -> None:
        """No request comes any more."""
        self._composers.shutdown(wait=False, cancel_futures=True)

    def uses(self, intake: Intake) -> bool:
        """True while a message is on its way through `intake`."""
        return self._in_use[id(intake)] > 0

    async def answer(self, asked: Asked) -> Told:
        """The answer to a request."""
        try:
            return await self._route(asked)
        except ApiError as error:
            return problem_told(error)
        except SpoolFullError:
            return problem_told(ApiError(NO_STORAGE, 60))
        except SpoolError:
            return problem_told(ApiError(LATER, 60))

    async def _route(self, asked: Asked) -> Told:
        path, method = asked.path, asked.method
        if path == DOCUMENT:
            _only(method, "GET")
            return Told(200, self._document)
        if path in (MESSAGES, BATCH):
            _only(method, "POST")
            scope = self._owner(asked)
            if not scope.inject:
                raise ApiError(told(FORBIDDEN, "the key may not hand in mail"))
            return await self._inject(asked, scope)
        take = self._rules.take_report
        if path == TLS_REPORTS and take is not None:
            _only(method, "POST")
            return await self._report(asked, take)
        if path.startswith(f"{MESSAGES}/"):
            _only(method, "GET")
            scope = self._owner(asked)
            if not scope.read:
                raise ApiError(told(FORBIDDEN, "the key may not ask about mail"))
            with self._share(scope, 0):
                state = await self._state(scope.name, path.removeprefix(f"{MESSAGES}/"))
            if state is None:
                raise ApiError(NOT_FOUND)
            return Told(200, encode(state))
        raise ApiError(NOT_FOUND)

    async def _report(self, asked: Asked, take: TakeReport) -> Told:
        """Anybody may send one, so few are read at a time (RFC 8460 5.4)."""
        if self._reports >= REPORTS_AT_ONCE:
            raise ApiError(BUSY, 60)
        self._reports += 1
        try:
            wrong = await take(await asked.read(REPORT_SIZE), asked.headers.content_type)
        finally:
            self._reports -= 1
        if wrong:
            raise ApiError(told(MALFORMED, wrong))
        return Told(200, b"{}")

    async def _state(self, key: str, queue_id: str) -> MessageState | None:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return await state_of(self._asking, key, queue_id)
        except TimeoutError:
            raise ApiError(BUSY, 1) from None

    def _owner(self, asked: Asked) -> Scope:
        parts = self._rules.parts
        scope = self._rules.ring.owner(bearer(asked.headers.authorization))
        if scope is not None:
            return scope
        after = self._failures.wait(asked.ip, parts.clock.monotonic())
        if after:
            raise ApiError(TOO_MANY, int(after) + 1)
        origin = Origin(asked.ip, asked.port, "", "HTTP", "api", parts.queue_ids.new(parts.clock.now()))
        reason = "no such key" if asked.headers.authorization else "no key"
        parts.emit(
            CommandRefused(
                at=parts.clock.now(), origin=origin, stage="auth", reply=replies.BAD_CREDENTIALS, detail=reason
            )
        )
        raise ApiError(NO_KEY)

    @contextmanager
    def _share(self, scope: Scope, octets: int) -> Iterator[None]:
        """A place among the requests that run, and `octets` of memory."""
        settings = self._rules.settings
        if self._running[scope.name] >= scope.requests:
            raise ApiError(told(TOO_MANY, f"the key has {scope.requests} requests running"), 1)
        if self.running >= settings.requests or (self._octets and self._octets + octets > settings.memory):
            raise ApiError(BUSY, 1)
        self._running[scope.name] += 1
        self._octets += octets
        try:
            yield
        finally:
            self._running[scope.name] -= 1
            self._octets -= octets

    # -- mail comes in ---------------------------------------------------------------------------

    async def _inject(self, asked: Asked, scope: Scope) -> Told:
        head = asked.headers
        if head.content_encoding not in ("", "identity"):
            raise ApiError(told(MEDIA_TYPE, "the content is encoded"))
        kind = head.content_type.partition(";")[0].strip().lower()
        if kind != JSON and (kind != RAW or asked.path == BATCH):
            raise ApiError(told(MEDIA_TYPE, f"send {JSON}" if asked.path == BATCH else f"send {JSON} or {RAW}"))
        token = head.idempotency_key
        if token is not None:
            check_token(token)
        if token is None:  # others may get an answer that was given before
            self._check_room()
        most = scope.request_size
        if head.length is not None and head.length > most:
            raise ApiError(told(TOO_LARGE, f"a request has at most {most} octets"))
        with self._share(scope, most if head.length is None else head.length):
            body = await asked.read(most)
            if token is None:
                return await self._work(asked, scope, kind, body, None)
            with self._once.alone(scope.name, token):
                about = repr((asked.path, kind, list(asked.query))).encode("utf-8", "backslashreplace")
                digest = sha256(about + b"\n" + body).digest()
                now = self._rules.parts.clock.now()
                since = now - int(self._rules.settings.idempotency * 1_000_000)
                work = partial(self._work, asked, scope, kind, body)
                return await self._once.answer(scope.name, token, digest, asked.path, now, since, work)

    def _check_room(self) -> None:
        if not self._rules.parts.intake.has_room():
            raise ApiError(NO_STORAGE, 60)

    async def _work(self, asked: Asked, scope: Scope, kind: str, body: bytes, earlier: Earlier | None) -> Told:
        rules = self._rules
        self._check_room()
        door = Door(rules.parts, scope, asked.ip, asked.port, self._composers)
        if asked.path == BATCH:
            messages = decode_batch(body, rules.settings.batch)
        elif kind == RAW:
            messages = [Message(raw=body, envelope=decode_query(asked.query))]
        else:
            messages = [decode_message(body)]
        intake = rules.parts.intake
        self._in_use[id(intake)] += 1
        try:
            results = await self._taking.take(door, scope.name, messages, earlier)
        finally:
            self._in_use[id(intake)] -= 1
            self._in_use += Counter()  # without what is not in use any more
        if asked.path == BATCH:
            listed = [_result(place, one) for place, one in enumerate(results)]
            status = 202 if all(one.status == 202 for one in listed) else 207
            return Told(status, encode(Results(listed)))
        one = results[0]
        if isinstance(one, ApiError):
            return problem_told(one)
        return Told(202, encode(one), headers=(("Location", f"{MESSAGES}/{one.id}"),))


def _only(method: str, allowed: str) -> None:
    if method != allowed:
        raise ApiError(told(METHOD, f"use {allowed}"))


def _result(place: int, one: Taken | ApiError) -> Result:
    if not isinstance(one, ApiError):
        return Result(202, one.id)
    pointed = [msgspec.structs.replace(f, pointer=f"/messages/{place}{f.pointer}") for f in one.problem.errors]
    problem = msgspec.structs.replace(one.problem, errors=tuple(pointed))
    return Result(problem.status, "", problem)
