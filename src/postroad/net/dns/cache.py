"""DNS answers kept for as long as they hold, within a bound.

Answers of absence are kept no longer than `negative_ttl` (RFC 2308 5), failures for a moment, so that a
thousand recipients do not ask a broken server a thousand times (RFC 9520 3.2). What is handed out
carries the seconds that are left, not those it had.
"""

from typing import Final

from postroad.model.dns import Answer, DnsStatus

FAILURE_TTL: Final = 1.0  # seconds; RFC 9520 3.2 asks for at least one


class DnsCache:
    """At most `size` answers; the one put first goes first. Times are monotonic seconds, given by the caller."""

    def __init__(self, size: int, negative_ttl: float) -> None:
        """Keep at most `size` answers, those of absence at most `negative_ttl` seconds."""
        self._size = size
        self._negative_ttl = negative_ttl
        self._kept: dict[tuple[str, str], tuple[float, Answer]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, name: str, kind: str, now: float) -> Answer | None:
        """The answer while it holds, with the whole seconds left as its `ttl`."""
        kept = self._kept.get((name, kind))
        if kept is None:
            return None
        until, answer = kept
        if now >= until:
            del self._kept[name, kind]
            return None
        return Answer(answer.status, answer.records, int(until - now), answer.authentic, answer.canonical)

    def put(self, name: str, kind: str, answer: Answer, now: float) -> None:
        """Keep `answer` for as long as it may be."""
        ttl = self._life(answer)
        if ttl <= 0 or not self._size:
            return
        self._kept.pop((name, kind), None)
        if len(self._kept) >= self._size:
            del self._kept[next(iter(self._kept))]
        self._kept[name, kind] = (now + ttl, answer)

    def _life(self, answer: Answer) -> float:
        if answer.status is DnsStatus.FOUND:
            return answer.ttl
        if answer.is_temporary:
            return FAILURE_TTL
        return min(answer.ttl, self._negative_ttl)
