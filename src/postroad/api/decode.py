"""From the octets of a request to typed messages, or to an ApiError that says what is wrong and where. Pure.

Invariant: no octets raise anything else (tests/fuzz proves it). In a batch each message stands for itself: one that is
no message is an error in its place, and the others go on.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw, Struct

from postroad.api.problem import INVALID, MALFORMED, TOO_LARGE, ApiError, told
from postroad.api.schema import Envelope, Fault, Message

PLACE: Final = " - at `"  # msgspec ends its messages with "- at `$.to[0]`"
_BAD_INPUT: Final = (UnicodeDecodeError, RecursionError)


class _Batch(Struct, frozen=True, forbid_unknown_fields=True):
    """A `Batch` whose messages are not looked at yet."""

    messages: list[Raw]
    defaults: Message | None = None


_message: Final = msgspec.json.Decoder(Message).decode
_batch: Final = msgspec.json.Decoder(_Batch).decode
_path: Final = msgspec.json.Decoder(Envelope).decode
_FIELDS: Final = Message.__struct_fields__
_DEFAULTS: Final = Message()


def decode_message(body: bytes) -> Message:
    """The one message of a request."""
    try:
        return _message(body)
    except msgspec.ValidationError as error:
        raise _invalid(error, "") from None
    except (msgspec.DecodeError, *_BAD_INPUT) as error:
        raise ApiError(told(MALFORMED, _words(error))) from None


def decode_batch(body: bytes, most: int) -> list[Message | ApiError]:
    """The messages of a request, at most `most`, with what they take from its defaults."""
    try:
        batch = _batch(body)
    except msgspec.ValidationError as error:
        raise _invalid(error, "") from None
    except (msgspec.DecodeError, *_BAD_INPUT) as error:
        raise ApiError(told(MALFORMED, _words(error))) from None
    if not batch.messages:
        raise ApiError(told(INVALID, "a batch has at least one message", Fault("is empty", "/messages")))
    if len(batch.messages) > most:
        text = f"a batch has at most {most} messages"
        raise ApiError(told(TOO_LARGE, text, Fault(text, "/messages")))
    return [_one(raw, batch.defaults) for raw in batch.messages]


def _one(raw: Raw, defaults: Message | None) -> Message | ApiError:
    try:
        message = _message(raw)
    except msgspec.ValidationError as error:
        return _invalid(error, "")
    except (msgspec.DecodeError, *_BAD_INPUT) as error:
        return ApiError(told(MALFORMED, _words(error), Fault(_words(error))))
    return message if defaults is None else _over(defaults, message)


def _over(defaults: Message, message: Message) -> Message:
    """`message` with what it leaves out taken from `defaults`."""
    missing = {
        name: getattr(defaults, name)
        for name in _FIELDS
        if name != "variables" and getattr(message, name) == getattr(_DEFAULTS, name)
    }
    return msgspec.structs.replace(message, **missing, variables={**defaults.variables, **message.variables})


def decode_query(pairs: Sequence[tuple[str, str]]) -> Envelope:
    """The envelope of a raw message, in the query of its address: from=, to=, notify=, ret=, envid=."""
    single = {name: value for name, value in pairs if name in ("from", "ret", "envid")}
    given: dict[str, object] = dict(single)
    for name in ("to", "notify"):
        if values := [value for key, value in pairs if key == name]:
            given[name] = values
    for at, (name, _) in enumerate(pairs):
        if name not in ("from", "to", "notify", "ret", "envid"):
            raise ApiError(told(INVALID, "the query has an unknown name", Fault("is unknown", f"/query/{at}")))
        if name in single and sum(key == name for key, _ in pairs) > 1:
            raise ApiError(told(INVALID, f"{name} is given twice", Fault("is given twice", f"/query/{name}")))
    try:
        return _path(msgspec.json.encode(given))
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        if isinstance(error, msgspec.ValidationError):
            raise _invalid(error, "/query") from None
        raise ApiError(told(INVALID, "the query is not UTF-8", Fault("is not UTF-8", "/query"))) from None


def _invalid(error: msgspec.ValidationError, prefix: str) -> ApiError:
    text, _, place = str(error).partition(PLACE)
    pointer = prefix + _pointer(place.removesuffix("`"))
    return ApiError(told(INVALID, text, Fault(text, pointer)))


def _pointer(path: str) -> str:
    """`$.to[0]` as a JSON pointer, "/to/0" (RFC 6901 3); keys that a client chose show as "...", as msgspec has it."""
    return path.removeprefix("$").replace("[", "/").replace("]", "").replace(".../", ".../").replace(".", "/")


def _words(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "is not UTF-8"
    return str(error)
