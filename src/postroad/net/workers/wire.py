"""What a worker process and its server say to each other: a job, and how it ended, in frames of two parts (pure).

A frame is the lengths of both parts, then the parts: a head of known form, with arguments or value as MessagePack whose
types the function declares, and octets of content as they are, because each copy of 50 MiB stops a process for 30 ms.
"""

import struct
from typing import Final

import msgspec
from msgspec import Struct

HEAD: Final = struct.Struct("!IQ")  # the lengths


class Job(Struct, frozen=True, array_like=True):
    """Which function, the seconds it may take, and its arguments; `is_bulk`: the first one is the second part."""

    module: str
    name: str
    seconds: float
    arguments: bytes
    is_bulk: bool


class Done(Struct, frozen=True, array_like=True):
    """How a job ended: `error`, or its value; `is_bulk`: that is the second part.

    `memory` is in octets; `is_spent`: use another worker from now on.
    """

    error: str
    memory: int
    is_spent: bool = False
    value: bytes = b""
    is_bulk: bool = False


def frame(head: Struct, body: bytes) -> tuple[bytes, bytes]:
    """What is written for both parts of a frame, one after the other."""
    first = msgspec.msgpack.encode(head)
    return HEAD.pack(len(first), len(body)) + first, body
