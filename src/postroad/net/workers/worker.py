"""A worker process: does one job after another that it gets over a socket, confined, until the socket ends.

It begins with nothing of ours but the socket: no other descriptor, no environment, no privilege. A job is a function
by its name and arguments as MessagePack; the answer goes back the same way, decoded there by the function's declared
type, so that a worker that hostile content has taken over can give a wrong answer and nothing more. What a job raised
is told by its type and place alone: the words may quote a message.
"""

import ctypes
import os
import resource
import signal
import socket
import traceback
from collections.abc import Callable
from importlib import import_module
from inspect import signature
from pathlib import Path
from types import GenericAlias
from typing import Any, Final, get_type_hints

import msgspec

from postroad.net.process.usage import usage_now
from postroad.net.workers.wire import HEAD, Done, Job, frame

FILES: Final = 64  # descriptors that a job may have open
NICENESS: Final = 10
CPU_GRACE: Final = 5  # seconds of processor time beyond a job's deadline; who waits for the job ends it long before
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38


def main(descriptor: int, parent: int, memory: int) -> None:
    """Work for the process `parent`; `memory` bounds the address space."""
    confine(parent, memory)
    with socket.socket(fileno=descriptor) as link:
        while (job := _receive(link)) is not None:
            head, body = perform(*job)
            for part in frame(head, body):
                link.sendall(part)


def confine(parent: int, memory: int) -> None:
    """Give up what a job needs not, for good."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # meant for the server, which ends us itself
        signal.signal(number, signal.SIG_IGN)
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:  # it died before we could ask to die with it
        os._exit(0)
    os.nice(NICENESS)
    for kind, limit in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, FILES),
        (resource.RLIMIT_FSIZE, memory),
        (resource.RLIMIT_AS, memory),
    ):
        _, most = resource.getrlimit(kind)
        bound = limit if most == resource.RLIM_INFINITY else min(limit, most)
        resource.setrlimit(kind, (bound, bound))


def perform(job: Job, bulk: bytes) -> tuple[Done, bytes]:
    """Do one job."""
    error, value, is_spent = "", None, False
    packed = b""
    try:
        _allow(job.seconds)
        function = getattr(import_module(job.module), job.name)
        kinds = arguments_of(function)
        first = (msgspec.convert(bulk, kinds.pop(0)),) if job.is_bulk else ()
        value = function(*first, *msgspec.msgpack.decode(job.arguments, type=GenericAlias(tuple, tuple(kinds))))
        if not isinstance(value, bytes):
            packed = msgspec.msgpack.encode(value)
    except MemoryError:
        error, is_spent = "it needs more memory than `process.worker_memory` allows", True
    except Exception as raised:  # noqa: BLE001  whatever a job raises is its own failure, and never the worker's
        error = _place(raised)
    try:
        memory = usage_now().memory
    except OSError:  # the job has left no descriptor to look with
        memory, is_spent = 0, True
    if isinstance(value, bytes) and not error:
        return Done(error, memory, is_spent, is_bulk=True), value
    return Done(error, memory, is_spent, packed), b""


def arguments_of(function: Callable[..., object]) -> list[Any]:
    """The types of the arguments of `function`."""
    hints = get_type_hints(function)
    return [hints[name] for name in signature(function).parameters]


def _allow(seconds: float) -> None:
    """Processor time for one more job: beyond it the kernel ends us."""
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used + seconds) + CPU_GRACE, hard))


def _place(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"


def _receive(link: socket.socket) -> tuple[Job, bytes] | None:
    """The next job; None at the end."""
    lengths = _exactly(link, HEAD.size)
    if len(lengths) < HEAD.size:
        return None
    first, second = HEAD.unpack(lengths)
    job, body = _exactly(link, first), _exactly(link, second)
    return (msgspec.msgpack.decode(job, type=Job), body) if len(body) == second else None


def _exactly(link: socket.socket, count: int) -> bytes:
    """`count` octets, fewer only at the end."""
    out = bytearray(count)
    view, got = memoryview(out), 0
    while got < count and (some := link.recv_into(view[got:])):
        got += some
    return bytes(out[:got]) if got < count else bytes(out)
