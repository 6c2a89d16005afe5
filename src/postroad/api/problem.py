"""Every problem the API tells of, named once: type, title, status (RFC 9457 3.1). Pure.

Invariant: nothing of a key, of a message's text or of our insides is in one. Replies of SMTP become problems here, so
that both doors refuse for the same reasons.
"""

from typing import Final

import msgspec
from msgspec import Struct

from postroad.api.schema import Fault, Problem
from postroad.model.reply import Reply
from postroad.smtp import replies

CONTENT_TYPE: Final = "application/problem+json"
FAULTS: Final = 50  # of one request that are told

MALFORMED: Final = Problem("malformed", "The request cannot be read", 400)
NO_KEY: Final = Problem("unauthorized", "A valid key is needed", 401)
FORBIDDEN: Final = Problem("forbidden", "The key may not do this", 403)
NOT_FOUND: Final = Problem("not-found", "There is no such thing", 404)
METHOD: Final = Problem("method-not-allowed", "This method means nothing here", 405)
TOO_SLOW: Final = Problem("too-slow", "The request did not arrive in time", 408)
IN_PROGRESS: Final = Problem("in-progress", "A request with this Idempotency-Key is being answered", 409)
TOO_LARGE: Final = Problem("too-large", "The request is too large", 413)
MEDIA_TYPE: Final = Problem("media-type", "This form of content is not understood", 415)
EXPECTATION: Final = Problem("expectation", "Expect can only ask for 100-continue", 417)
INVALID: Final = Problem("invalid", "The message is not valid", 422)
KEY_REUSED: Final = Problem("idempotency-key-reused", "The Idempotency-Key was used for another request", 422)
REFUSED: Final = Problem("refused", "The message is refused", 422)
TOO_MANY: Final = Problem("too-many-requests", "Too many requests, try again later", 429)
FAULT: Final = Problem("fault", "Something broke on our side", 500)
BUSY: Final = Problem("busy", "The server is busy, try again later", 503)
LATER: Final = Problem("later", "The message cannot be taken now, try again later", 503)
NO_STORAGE: Final = Problem("no-storage", "There is no room for mail now, try again later", 507)


class ApiError(Exception):
    """A request, or one message, comes to nothing; `after` is when it may be tried again, in seconds."""

    def __init__(self, problem: Problem, after: int = 0) -> None:
        """Tell `problem`."""
        super().__init__(problem.detail or problem.title)
        self.problem = problem
        self.after = after


class Refusal(Struct, frozen=True):
    """An SMTP reply about the recipient `pointer`, "" for the message."""

    reply: Reply
    pointer: str = ""


def told(problem: Problem, detail: str, *faults: Fault) -> Problem:
    """`problem` with what is wrong in this case."""
    return msgspec.structs.replace(problem, detail=detail, errors=faults[:FAULTS])


def invalid(pointer: str, detail: str) -> ApiError:
    """One thing in a message is wrong."""
    return ApiError(told(INVALID, detail, Fault(detail, pointer)))


def refused(refusals: tuple[Refusal, ...]) -> ApiError:
    """What SMTP would say to a message; temporary when one of the replies is."""
    words = refusals[0].reply
    faults = tuple(Fault(one.reply.text, one.pointer, str(one.reply)) for one in refusals)
    if storage := [one for one in refusals if one.reply == replies.STORAGE_FULL]:
        return ApiError(told(NO_STORAGE, storage[0].reply.text), 60)
    if any(one.reply.code < 500 for one in refusals):
        return ApiError(told(LATER, words.text, *faults), 60)
    if words == replies.MESSAGE_TOO_BIG:
        return ApiError(told(TOO_LARGE, words.text, *faults))
    problem = FORBIDDEN if any(one.reply.enhanced.startswith("5.7.") for one in refusals) else REFUSED
    return ApiError(told(problem, words.text, *faults))


def is_final(status: int) -> bool:
    """True when the same request would get the same answer later."""
    return status < 500 and status not in (408, 409, 429)
