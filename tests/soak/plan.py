"""How long, how often, and the configurations: one frozen value, and the texts made of it.

Two good configurations, A and B, are exchanged for each other all the while; each broken one must be refused.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

SINKS = ("calm", "moody", "slow", "rude")
MIB = 1 << 20
DONE_TIMEOUT = 5.0  # seconds that the relay waits for the reply to a message


@dataclass(frozen=True)
class Plan:
    """One soak; times in seconds. `storm`: the relay dies at random; then `calm`: it must live through the rest."""

    storm: float
    calm: float
    capacity: float = 8.0
    share: float = 0.5  # of the measured capacity
    life: tuple[float, float] = (3.0, 20.0)  # of the relay in the storm
    sink_life: tuple[float, float] = (5.0, 25.0)
    sink_death: tuple[float, float] = (0.3, 4.0)
    reload_every: tuple[float, float] = (2.0, 5.0)
    disk_full: float = 6.0
    disk: int = 2048 * MIB
    edges: int = 0
    seed: int = 20261126


SHORT = (Plan(storm=65.0, calm=52.0), Plan(storm=65.0, calm=52.0, edges=2))
LONG = (
    Plan(storm=300.0, calm=300.0, capacity=15.0, life=(3.0, 40.0), disk_full=15.0),
    Plan(storm=1140.0, calm=660.0, capacity=15.0, life=(3.0, 40.0), disk_full=15.0, edges=2),
)
"""One after the other: everything in one process, and several processes."""


@dataclass(frozen=True)
class Ports:
    """Where everything listens: the relay, the listener that only B has, the desk, and the sinks by temper."""

    relay: int
    second: int
    desk: int
    sinks: Mapping[str, int]


def configuration(kind: str, data: str, ports: Ports, edges: int) -> str:
    """The text of "A", "B" or of a broken configuration."""
    if kind == "A":
        return _head(data, ports, retry='["1s", "2s"]', concurrency=10) + _rest(ports, edges)
    if kind == "B":
        second = f'\n[listeners.second]\nbind = ["127.0.0.1:{ports.second}"]\n'
        head = _head(data, ports, retry='["1s"]', concurrency=20)
        more = (
            second + '\n[limits]\nsessions = 1500\n\n[[shaping]]\nmx = ["*"]\nper = "lane"\nconnection_messages = 100\n'
        )
        return head + more + _rest(ports, edges)
    old, new = BROKEN[kind]
    good = configuration("A", data, ports, edges)
    if old not in good:
        raise AssertionError(f"nothing to break: {kind}")
    return good.replace(old, new.format(ports=ports) if "{" in new else new, 1)


def _head(data: str, ports: Ports, *, retry: str, concurrency: int) -> str:
    return _HEAD.format(data=json.dumps(data), ports=ports, retry=retry, concurrency=concurrency, done=DONE_TIMEOUT)


def _rest(ports: Ports, edges: int) -> str:
    text = f"\n[process]\nedges = {edges}\n" if edges else ""
    hops = {f"{name}.example": [name] for name in ports.sinks}
    for domain, names in {**hops, "any.example": ["moody", "calm"], "back.example": ["calm"]}.items():
        urls = [f"smtp://127.0.0.1:{ports.sinks[name]}" for name in names]
        text += f"\n[[routes]]\nrecipients = [{json.dumps(domain)}]\nnext_hops = {json.dumps(urls)}\n"
    return text


BROKEN: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "no TOML": ("[queue]", '[queue\n"'),
        "an unknown key": ("[queue]", '[queue]\nretires = ["1s"]'),
        "a wrong value": ('bind = ["127.0.0.1:', 'bind = ["127.0.0.1:nowhere'),
        "another data_dir": ('data"\n', 'other"\n'),
        "an address that is taken": ("[access]", '[listeners.taken]\nbind = ["127.0.0.1:{ports.desk}"]\n\n[access]'),
    }
)
"""What is put in the place of what, to break a good configuration; by what is wrong then."""

_HEAD = """\
hostname = "relay.example.com"
data_dir = {data}
postmaster = "postmaster@back.example"

[listeners.soak]
bind = ["127.0.0.1:{ports.relay}"]

[access]
relay_networks = ["127.0.0.0/8"]

[resolver]
nameservers = ["127.0.0.1:9"]

[desk]
bind = ["127.0.0.1:{ports.desk}"]

[spool]
free_space = "32MiB"
segment_size = "8MiB"

[queue]
retry = {retry}
suspend = ["1s"]
window = 2000
window_content = "16MiB"
concurrency = {concurrency}
expire_after = "1d"
warn_after = "never"

[delivery]
connect_timeout = "2s"
greeting_timeout = "5s"
command_timeout = "5s"
data_timeout = "5s"
block_timeout = "5s"
done_timeout = "{done:.0f}s"

[log]
format = "json"
"""
