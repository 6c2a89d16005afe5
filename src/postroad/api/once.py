"""Requests with an Idempotency-Key: the same one gets the same answer, and sends nothing anew.

Invariant: a request is written down before anything is done for it, an answer that could be no other next time before
it is given. What lies between a kill and its repetition is known message by message (store/sent). Of two that come at
one time the second is told to wait.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import msgspec

from postroad.api.exchange import BATCH, JSON, MESSAGES, Told, problem_told
from postroad.api.outcomes import Outcomes
from postroad.api.problem import CONTENT_TYPE, IN_PROGRESS, KEY_REUSED, MALFORMED, ApiError, is_final, told
from postroad.api.schema import Results, Taken
from postroad.model.errors import SpoolError
from postroad.store.sent import Earlier, Sent

TOKEN_LIMIT: Final = 255

Work = Callable[[Earlier], Awaitable[Told]]


class Once:
    """Answers them."""

    def __init__(self, sent: Sent, outcomes: Outcomes) -> None:
        """Nobody asks yet."""
        self._sent = sent
        self._outcomes = outcomes
        self._open: set[tuple[str, str]] = set()

    @contextmanager
    def alone(self, key: str, token: str) -> Iterator[None]:
        """While the request of `key` with `token` is answered; ApiError when it is already."""
        if (key, token) in self._open:
            raise ApiError(IN_PROGRESS, 1)
        self._open.add((key, token))
        try:
            yield
        finally:
            self._open.discard((key, token))

    async def answer(  # noqa: PLR0913, PLR0917  who asks, what, and when
        self, key: str, token: str, digest: bytes, path: str, now: int, since: int, work: Work
    ) -> Told:
        """The answer that the same request got at `since` or later, or that of `work`, which will be remembered."""
        self._outcomes.flush()  # what could not be written down of earlier ones comes first
        earlier = self._sent.earlier(key, token, since)
        if earlier is not None and earlier.digest != digest:
            raise ApiError(KEY_REUSED)
        if earlier is not None and earlier.answer is not None:
            return _again(earlier.status, earlier.answer, path)
        if earlier is None:
            earlier = Earlier(self._sent.begin(key, token, digest, now), digest, 0, None, {})
        try:
            answer = await work(earlier)
        except ApiError as error:
            answer = problem_told(error)
        if _is_whole(answer, path):
            # The mail is safe whatever becomes of this; without it, a repetition is answered by what was accepted.
            with suppress(SpoolError):
                self._sent.finish(earlier.num, answer.status, answer.body)
                await self._sent.sync()
        return answer


def check_token(token: str) -> None:
    """ApiError when `token` cannot be an Idempotency-Key."""
    if not 0 < len(token) <= TOKEN_LIMIT or not all("!" <= sign <= "~" for sign in token):
        text = f"Idempotency-Key is 1 to {TOKEN_LIMIT} printable ASCII characters without spaces"
        raise ApiError(told(MALFORMED, text))


def _is_whole(answer: Told, path: str) -> bool:
    """True when nothing in the answer may be another next time."""
    if path != BATCH or answer.status >= 400:
        return is_final(answer.status)
    return all(is_final(one.status) for one in msgspec.json.decode(answer.body, type=Results).results)


def _again(status: int, body: bytes, path: str) -> Told:
    """An answer that was given before."""
    headers: tuple[tuple[str, str], ...] = (("Idempotency-Replayed", "true"),)
    if status == 202 and path == MESSAGES:
        headers = (*headers, ("Location", f"{MESSAGES}/{msgspec.json.decode(body, type=Taken).id}"))
    return Told(status, body, JSON if status < 400 else CONTENT_TYPE, headers)
