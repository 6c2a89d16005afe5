"""Ports of the loopback for servers in tests, out of the way of everybody else.

Below the range that the kernel takes for connections (32768 to 60999), so that nothing that connects meanwhile takes
one between the look and the bind; and each of the processes that run tests beside each other has ports of its own.
Handed out in turn, so that one that waits to be bound is not handed out again meanwhile.
"""

import itertools
import os
import random
import socket
from collections.abc import Iterator
from typing import Final

_FIRST, _LAST = 10_000, 32_000
_LANES: Final = 8  # more than there are processes


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    for port in _candidates():
        if _can_bind(socket.AF_INET, socket.SOCK_STREAM, "127.0.0.1", port):
            return port
    raise AssertionError("no port is free")


def free_dual_port() -> int:
    """A port of the loopback that is free for UDP and TCP, IPv4 and IPv6."""
    for port in _candidates():
        if all(_can_bind(socket.AF_INET6, kind, "::", port) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)):
            return port
    raise AssertionError("no port is free")


def _in_turn() -> Iterator[int]:
    """The ports of this process, endlessly: each comes again only after all the others. Begins anywhere."""
    lane = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw") or 0) % _LANES
    ports = range(_FIRST // _LANES * _LANES + lane, _LAST, _LANES)
    start = random.SystemRandom().randrange(len(ports))
    return itertools.cycle([*ports[start:], *ports[:start]])


_TURN: Final = _in_turn()


def _candidates() -> Iterator[int]:
    return itertools.islice(_TURN, 1000)


def _can_bind(family: socket.AddressFamily, kind: socket.SocketKind, host: str, port: int) -> bool:
    with socket.socket(family, kind) as probe:
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
