"""A start without its effects: what it would stumble over is told by a process that then ends.

The running server lets the next program rehearse before it makes way for it, as the same user with the same rights;
people may do the same before a first start. Whatever a start reads is read, every port that is not open already is
taken and let go of; nothing is written and no mail is touched.
"""

import asyncio
import errno
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from postroad.config.locate import KeyPath
from postroad.config.problem import Problem
from postroad.config.schema import Config
from postroad.delivery.cargo import convert_in_thread
from postroad.house.courier import Tools, courier_of
from postroad.house.house import around_of
from postroad.house.securing import read_certificates
from postroad.model.errors import ConfigError
from postroad.model.option import parse_endpoint
from postroad.net.clock import SystemClock
from postroad.net.process.handover import why_not_bound
from postroad.net.tls.keyfiles import KeyStore
from postroad.net.turn import Turn
from postroad.observe.fanout import Fanout
from postroad.queue.suspensions import Suspensions

_PRIVILEGED: Final = 1024
_RIGHTS: Final = (
    "ports below 1024 need root or CAP_NET_BIND_SERVICE: restart the service instead, or let systemd open it"
)


def rehearse(config: Config, have: Collection[str] = ()) -> list[Problem]:
    """What speaks against a start by `config`, but for what `config.host` sees.

    `have` are addresses that are open and will be ours.
    """
    problems: list[Problem] = []
    try:
        around_of(config)
        read_certificates(config, KeyStore())
        asyncio.run(_build(config))
    except ConfigError as error:
        problems += [Problem((), line) for line in str(error).splitlines()]
    return [*problems, *_ports(config, {parse_endpoint(text) for text in have})]


async def _build(config: Config) -> None:
    turn = Turn(asyncio.get_running_loop().call_soon)
    tools = Tools(SystemClock(), Fanout(()), turn, Suspensions(), convert_in_thread)
    courier = courier_of(config, tools)
    await courier.deliverer.close()
    courier.resolver.close()


def _ports(config: Config, have: set[tuple[str, int]]) -> Iterator[Problem]:
    binds: dict[KeyPath, Sequence[str]] = {
        ("listeners", name, "bind"): one.bind for name, one in config.listeners.items()
    }
    if config.desk is not None:
        binds["desk", "bind"] = config.desk.bind
    if config.api is not None:
        binds["api", "bind"] = config.api.bind
    if config.acme is not None:
        binds["acme", "bind"] = config.acme.answering_at
    wanted = [((*path, at), text) for path, texts in binds.items() for at, text in enumerate(texts)]
    kept = {parse_endpoint(text) for _, text in wanted}
    freed = {port for host, port in have - kept}
    for path, text in wanted:
        host, port = parse_endpoint(text)
        error = why_not_bound(host, port) if (host, port) not in have else None
        if error is None or (error.errno == errno.EADDRINUSE and port in freed):
            continue  # what holds it is ours, and goes
        why = error.strerror or str(error)
        rights = f"; {_RIGHTS}" if isinstance(error, PermissionError) and port < _PRIVILEGED else ""
        yield Problem(path, f'cannot listen on "{text}": {why}{rights}')
