"""What a client has used of our patience: commands by verb, errors, and commands that bring no message nearer.

A refused command is an error, but for refusals that well-behaved clients meet; a command of `JUNK` is one when there
were more than `limits.junk_commands` since the last message. At `limits.errors_per_session` the session ends
(RFC 5321 3.8 leaves the reason to us).
"""

from functools import lru_cache
from typing import Final

from postroad.model.reply import Reply
from postroad.smtp import replies
from postroad.smtp.extensions import Offer

# Commands that bring no message nearer: a few are well-behaved, many keep us busy.
JUNK: Final = frozenset((b"NOOP", b"RSET", b"VRFY", b"HELP", b"EHLO", b"HELO"))
# Refusals that a well-behaved client meets: they count as no error (RFC 5321 4.5.3.1.10).
NO_ERRORS: Final = frozenset(
    (replies.TOO_MANY_RECIPIENTS, replies.STORAGE_FULL, replies.STORAGE_ERROR, replies.AUTH_UNAVAILABLE)
)


class Tally:
    """The counts of one session."""

    __slots__ = ("_errors", "_errors_limit", "_junk", "_junk_limit", "verbs")

    def __init__(self, offer: Offer) -> None:
        """Begin at nothing, with the limits of `offer`."""
        self._errors_limit = offer.errors
        self._junk_limit = offer.junk
        self._errors = 0
        self._junk = 0
        self.verbs: dict[bytes, int] = {}

    def command(self, verb: bytes) -> bool:
        """Count a command; False when the session has used up our patience."""
        verbs = self.verbs
        verbs[verb] = verbs.get(verb, 0) + 1
        if verb not in JUNK:
            return True
        self._junk += 1
        return self._junk <= self._junk_limit or self._error()

    def refusal(self, reply: Reply) -> bool:
        """Count a refused command; False when the session has used up our patience."""
        return reply in NO_ERRORS or self._error()

    def message(self) -> None:
        """A message came to its end."""
        self._junk = 0

    def summary(self) -> str:
        """`ehlo=1 mail=1 ... commands=5`, as Postfix closes its log of a connection."""
        return _summary(tuple(self.verbs.items()))

    def _error(self) -> bool:
        self._errors += 1
        return self._errors < self._errors_limit


@lru_cache(256)  # a pure function of its argument; most clients do the same as others
def _summary(verbs: tuple[tuple[bytes, int], ...]) -> str:
    words = [f"{verb.decode().lower()}={count}" for verb, count in verbs]
    return " ".join((*words, f"commands={sum(count for _, count in verbs)}"))
