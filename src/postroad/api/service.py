"""Every request of the API from its head to its answer: who asks, may they, is there room, was it asked before.

Invariant: nothing of a body is read before the key is known and its share of memory is taken; an answer of 202 is given
when the disk has the message, and the same request with the same Idempotency-Key gets the same answer and sends nothing
anew, also after a kill at any instant. RFC 9110 9.3.3 (POST), RFC 9110 10.2.3 (Retry-After).
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Struct

from postroad.api.ask import Asking, state_of
from postroad.api.decode import decode_batch, decode_message, decode_query
from postroad.api.door import Door, Parts, Prepared
from postroad.api.failures import Failures
from postroad.api.keys import KeyRing, Scope, bearer
from postroad.api.outcomes import Outcomes
from postroad.api.problem import (
    BUSY,
    CONTENT_TYPE,
    FORBIDDEN,
    IN_PROGRESS,
    KEY_REUSED,
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
    is_final,
    told,
)
from postroad.api.schema import Message, MessageState, Result, Results, Taken
from postroad.api.settings import ApiSettings
from postroad.listener.intake import Intake
from postroad.model.envelope import Origin
from postroad.model.errors import SpoolError, SpoolFullError
from postroad.model.records import CommandRefused
from postroad.smtp import replies
from postroad.store.sent import Earlier, Sent

MESSAGES: Final = "/v1/messages"
BATCH: Final = "/v1/messages/batch"
DOCUMENT: Final = "/openapi.json"
JSON: Final = "application/json"
RAW: Final = "message/rfc822"
TOKEN_LIMIT: Final = 255
ASK_SECONDS: Final = 10.0
_encode: Final = msgspec.json.Encoder().encode


class Asked(Struct, frozen=True, kw_only=True):
    """The head of a request; `read` gives its body of at most so many octets, in time, or raises ApiError."""

    method: str
    path: str
    query: Sequence[tuple[str, str]]
    headers: "Headers"
    ip: str
    port: int
    read: Callable[[int], Awaitable[bytes]]


class Headers(Struct, frozen=True):
    """The fields of a request that mean something here; `length` is None when it is not told."""

    authorization: str = ""
    content_type: str = ""
    content_encoding: str = ""
    idempotency_key: str | None = None
    length: int | None = None


class Told(Struct, frozen=True):
    """An answer."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


class Rules(Struct, frozen=True):
    """What a reload exchanges."""

    settings: ApiSettings
    ring: KeyRing
    parts: Parts


class Service:
    """Answers requests."""

    def __init__(self, rules: Rules, sent: Sent, outcomes: Outcomes, asking: Asking, document: bytes) -> None:
        """`document` is the OpenAPI description."""
        self._rules = rules
        self._sent = sent
        self._outcomes = outcomes
        self._asking = asking
        self._document = document
        self._failures = Failures()
        self._running: Counter[str] = Counter()
        self._octets = 0
        self._in_use: Counter[int] = Counter()  # intakes that have messages of ours, by identity
        self._open: set[tuple[str, str]] = set()  # requests with an Idempotency-Key that are being answered

    def adopt(self, rules: Rules) -> None:
        """Answer requests to come by another configuration."""
        self._rules = rules

    @property
    def running(self) -> int:
        """Requests that are being answered."""
        return self._running.total()

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
        if path.startswith(f"{MESSAGES}/"):
            _only(method, "GET")
            scope = self._owner(asked)
            if not scope.read:
                raise ApiError(told(FORBIDDEN, "the key may not ask about mail"))
            with self._share(scope, 0):
                state = await self._state(scope.name, path.removeprefix(f"{MESSAGES}/"))
            if state is None:
                raise ApiError(NOT_FOUND)
            return Told(200, _encode(state))
        raise ApiError(NOT_FOUND)

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
        if token is not None and (not 0 < len(token) <= TOKEN_LIMIT or not all("!" <= sign <= "~" for sign in token)):
            text = f"Idempotency-Key is 1 to {TOKEN_LIMIT} printable ASCII characters without spaces"
            raise ApiError(told(MALFORMED, text))
        if not self._rules.parts.intake.has_room():
            raise ApiError(NO_STORAGE, 60)
        most = scope.request_size
        if head.length is not None and head.length > most:
            raise ApiError(told(TOO_LARGE, f"a request has at most {most} octets"))
        with self._share(scope, most if head.length is None else head.length):
            body = await asked.read(most)
            if token is None:
                return await self._work(asked, scope, kind, body, None)
            with self._alone(scope.name, token):
                return await self._once(asked, scope, kind, body, token)

    @contextmanager
    def _alone(self, key: str, token: str) -> Iterator[None]:
        if (key, token) in self._open:
            raise ApiError(IN_PROGRESS, 1)
        self._open.add((key, token))
        try:
            yield
        finally:
            self._open.discard((key, token))

    async def _once(self, asked: Asked, scope: Scope, kind: str, body: bytes, token: str) -> Told:
        """The answer that the same request got before, or one that will be remembered."""
        now = self._rules.parts.clock.now()
        head = repr((asked.path, kind, list(asked.query))).encode("utf-8", "backslashreplace")
        digest = sha256(head + b"\n" + body).digest()
        self._outcomes.flush()  # what could not be written down of earlier ones comes first
        since = now - int(self._rules.settings.idempotency * 1_000_000)
        earlier = self._sent.earlier(scope.name, token, since)
        if earlier is not None and earlier.digest != digest:
            raise ApiError(KEY_REUSED)
        if earlier is not None and earlier.answer is not None:
            return _again(earlier.status, earlier.answer, asked.path)
        if earlier is None:
            num = self._sent.begin(scope.name, token, digest, now)
            earlier = Earlier(num, digest, 0, None, {})
        try:
            answer = await self._work(asked, scope, kind, body, earlier)
        except ApiError as error:
            answer = problem_told(error)
        if _is_whole(answer, asked.path):
            # The mail is safe whatever becomes of this; without it, a repetition is answered by what was accepted.
            with suppress(SpoolError):
                self._sent.finish(earlier.num, answer.status, answer.body)
                await self._sent.sync()
        return answer

    async def _work(self, asked: Asked, scope: Scope, kind: str, body: bytes, earlier: Earlier | None) -> Told:
        rules = self._rules
        door = Door(rules.parts, scope, asked.ip, asked.port)
        if asked.path == BATCH:
            messages = decode_batch(body, rules.settings.batch)
        elif kind == RAW:
            messages = [Message(raw=body, envelope=decode_query(asked.query))]
        else:
            messages = [decode_message(body)]
        intake = rules.parts.intake
        self._in_use[id(intake)] += 1
        try:
            results = await self._take(door, scope, messages, earlier)
        finally:
            self._in_use[id(intake)] -= 1
            self._in_use += Counter()  # without what is not in use any more
        if asked.path == BATCH:
            listed = [_result(place, one) for place, one in enumerate(results)]
            status = 202 if all(one.status == 202 for one in listed) else 207
            return Told(status, _encode(Results(listed)))
        one = results[0]
        if isinstance(one, ApiError):
            return problem_told(one)
        return Told(202, _encode(one), headers=(("Location", f"{MESSAGES}/{one.id}"),))

    async def _take(
        self, door: Door, scope: Scope, messages: Sequence[Message | ApiError], earlier: Earlier | None
    ) -> list[Taken | ApiError]:
        """Judge every message, then make all that pass durable together; those that `earlier` has are not sent anew."""
        known = {} if earlier is None else earlier.accepted
        results: dict[int, Taken | ApiError] = {}
        prepared: dict[int, Prepared] = {}
        for place, message in enumerate(messages):
            try:
                if place in known:
                    results[place] = Taken(known[place])
                elif isinstance(message, ApiError):
                    results[place] = message
                else:
                    prepared[place] = await door.prepare(message)
            except ApiError as error:
                results[place] = error
        if prepared:
            await self._remember(scope, prepared, earlier)
            puts = [self._put(door, one) for one in prepared.values()]
            results |= zip(prepared, await asyncio.gather(*puts), strict=True)
        return [results[place] for place in range(len(messages))]

    async def _remember(self, scope: Scope, prepared: dict[int, Prepared], earlier: Earlier | None) -> None:
        """Before the spool has any of them; on disk when they may be asked for again."""
        rows = [(one.id, place) for place, one in prepared.items()]
        self._sent.expect(scope.name, rows, 0 if earlier is None else earlier.num, self._rules.parts.clock.now())
        if earlier is not None:
            await self._sent.sync()

    async def _put(self, door: Door, one: Prepared) -> Taken | ApiError:
        try:
            await door.put(one, self._taken)
        except ApiError as error:
            return error
        return Taken(one.id)

    def _taken(self, queue_id: str) -> None:
        """The spool has a message, and the queue not yet: what is done now is done before it can be delivered."""
        self._outcomes.follow(queue_id)
        try:
            self._sent.accepted(queue_id)
        except SpoolError:  # the mail is safe all the same, and is not to be refused for this
            self._outcomes.unwritten(queue_id)


def _only(method: str, allowed: str) -> None:
    if method != allowed:
        raise ApiError(told(METHOD, f"use {allowed}"))


def _result(place: int, one: Taken | ApiError) -> Result:
    if not isinstance(one, ApiError):
        return Result(202, one.id)
    pointed = [msgspec.structs.replace(f, pointer=f"/messages/{place}{f.pointer}") for f in one.problem.errors]
    problem = msgspec.structs.replace(one.problem, errors=tuple(pointed))
    return Result(problem.status, "", problem)


def _again(status: int, body: bytes, path: str) -> Told:
    """An answer that was given before."""
    headers: tuple[tuple[str, str], ...] = (("Idempotency-Replayed", "true"),)
    if status == 202 and path == MESSAGES:
        headers = (*headers, ("Location", f"{MESSAGES}/{msgspec.json.decode(body, type=Taken).id}"))
    return Told(status, body, JSON if status < 400 else CONTENT_TYPE, headers)


def _is_whole(answer: Told, path: str) -> bool:
    """True when nothing in the answer may be another next time."""
    if path != BATCH or answer.status >= 400:
        return is_final(answer.status)
    return all(is_final(one.status) for one in msgspec.json.decode(answer.body, type=Results).results)


def problem_told(error: ApiError) -> Told:
    """A problem as an answer."""
    problem = error.problem
    headers: tuple[tuple[str, str], ...] = ()
    if error.after:
        headers = (("Retry-After", str(error.after)),)
    if problem.status == 401:
        headers = (("WWW-Authenticate", 'Bearer realm="postroad"'),)
    if problem.status == 405:
        headers = (("Allow", problem.detail.removeprefix("use ")),)
    return Told(problem.status, _encode(problem), CONTENT_TYPE, headers)
