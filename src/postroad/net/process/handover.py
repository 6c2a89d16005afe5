"""The last step of an upgrade: this process becomes another program, which goes on with our listening sockets.

The process stays, and with it its id, so that a service manager sees no change; the sockets stay open all the while,
so that the kernel keeps who connects meanwhile. They are passed on in the form of sd_listen_fds(3), which
`net.inherited` reads. Signals that ask a server for something must not end the program that does not listen yet.
"""

import fcntl
import os
import signal
import socket
from collections.abc import Mapping
from typing import Final, NoReturn

from msgspec import Struct

from postroad.net.process.inherited import FIRST, UPGRADED_FROM, Given

_WISHES: Final = (signal.SIGHUP, signal.SIGUSR2)
_HELD: Final = (*_WISHES, signal.SIGTERM, signal.SIGINT)


class Handover(Struct, frozen=True):
    """What becomes of this process: the program with its arguments, and what it is given."""

    command: tuple[str, ...]
    given: tuple[Given, ...]
    environment: Mapping[str, str]
    version: str  # ours


def copy_of(name: str, descriptor: int) -> Given:
    """A listening socket once more: it stays open when the other is closed."""
    return Given(name, socket.socket(fileno=os.dup(descriptor)))


def hold_signals() -> None:
    """From here on signals wait until `become`; called while the event loop still takes them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)


def become(handover: Handover) -> NoReturn:
    """Execute the program; nothing else of ours may be running or open any more. OSError when it cannot be."""
    for wish in _WISHES:
        signal.signal(wish, signal.SIG_IGN)  # until the program listens: by default it would be killed
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)  # whoever wants us to end meanwhile ends us here
    above = FIRST + len(handover.given)
    copies = [fcntl.fcntl(one.socket.fileno(), fcntl.F_DUPFD_CLOEXEC, above) for one in handover.given]
    for at, descriptor in enumerate(copies):
        os.dup2(descriptor, FIRST + at)  # inheritable, as dup2 makes it
    told = {
        "LISTEN_PID": str(os.getpid()),
        "LISTEN_FDS": str(len(copies)),
        "LISTEN_FDNAMES": ":".join(one.name for one in handover.given),
        UPGRADED_FROM: handover.version,
    }
    program = handover.command[0]
    os.execve(program, handover.command, {**handover.environment, **told})  # noqa: S606  our own program, without a shell


def why_not_bound(host: str, port: int) -> OSError | None:
    """What keeps this process from binding an address; None: nothing. It is let go of at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            return error
    return None
