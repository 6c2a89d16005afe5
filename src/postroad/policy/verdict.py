"""A policy's answer: accept, reject or defer; None means no opinion.

The reply is what the peer reads, catalogued in smtp/replies.py; `reason` is the exact one, for the
record and for `postroad explain`.
"""

from typing import Final

from msgspec import Struct

from postroad.model.reply import Reply


class Accept(Struct, frozen=True, gc=False):
    """Take it; no later policy of the stage is asked."""

    reason: str


class Reject(Struct, frozen=True, gc=False):
    """Refuse for good, with a 5xx reply."""

    reply: Reply
    reason: str


class Defer(Struct, frozen=True, gc=False):
    """Refuse for now, with a 4xx reply."""

    reply: Reply
    reason: str


Verdict = Accept | Reject | Defer
VERDICTS: Final = (Accept, Reject, Defer)  # for isinstance, quicker than the union
