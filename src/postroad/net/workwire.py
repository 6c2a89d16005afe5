"""What a worker process and its server say to each other: a job, and how it ended, in frames of two parts (pure).

A frame is the lengths of both parts, then the parts: a head of known form, and the arguments or the value as
MessagePack, whose types the function declares.
"""

import struct
from typing import Final

import msgspec
from msgspec import Struct

HEAD: Final = struct.Struct("!IQ")  # the lengths


class Job(Struct, frozen=True, array_like=True):
    """Which function, and the seconds it may take; its arguments follow in the frame's second part."""

    module: str
    name: str
    seconds: float


class Done(Struct, frozen=True, array_like=True):
    """How a job ended: `error` is empty when its value follows; `memory` in octets; `is_spent`: use another worker."""

    error: str
    memory: int
    is_spent: bool = False


def frame(head: Struct, body: bytes) -> tuple[bytes, bytes]:
    """What is written for both parts of a frame, one after the other."""
    first = msgspec.msgpack.encode(head)
    return HEAD.pack(len(first), len(body)) + first, body
