"""Rules about the desk: its addresses beside those of the listeners, and who can reach it.

The pages tell names of next hops and how much mail there is, to anybody who can connect.
"""

from collections.abc import Iterator
from ipaddress import ip_address

from postroad.config.describe import value_text
from postroad.config.problem import Problem, Warned, path_text
from postroad.config.schema import Config
from postroad.model.option import parse_endpoint


def check_desk(config: Config) -> Iterator[Problem]:
    """An address that is taken, and one that others can reach."""
    if config.desk is None:
        return
    seen = [
        (*parse_endpoint(bind), path_text(("listeners", name, "bind", at)))
        for name, listener in config.listeners.items()
        for at, bind in enumerate(listener.bind)
    ]
    for at, bind in enumerate(config.desk.bind):
        address, port = parse_endpoint(bind)
        path = ("desk", "bind", at)
        for other, other_port, where in seen:
            if port and port == other_port and overlap(address, other):
                yield Problem(path, f"{value_text(bind)}: {where} listens there already")
                break
        seen.append((address, port, path_text(path)))
        if not ip_address(address).is_loopback:
            yield Warned(
                path,
                f"{value_text(bind)}: has no log-in; let only those reach this port who may read health and metrics",
            )


def overlap(one: str, two: str) -> bool:
    """True when two sockets of one port cannot have both addresses."""
    first, second = ip_address(one), ip_address(two)
    return first.version == second.version and (first == second or first.is_unspecified or second.is_unspecified)
