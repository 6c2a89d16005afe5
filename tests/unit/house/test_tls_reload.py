"""A reload that asks for another TLS reaches deliveries, and questions to next hops; all else goes on."""

from pathlib import Path

import pytest

from postroad.config.load import load_config
from postroad.config.schema import Config
from postroad.delivery.cargo import convert_in_thread
from postroad.house.courier import Courier, Tools, courier_of
from postroad.house.tables import Before, read_tables
from postroad.model.route import Route
from postroad.net.clock import SystemClock
from postroad.net.turn import Turn
from postroad.queue.suspensions import Suspensions
from tests.support.authority import Authority

HEAD = """
hostname = "relay.example.com"
listeners.mx.bind = ["127.0.0.1:2525"]
resolver.nameservers = ["127.0.0.1:9"]
routes = [{ recipients = ["*"], next_hops = ["smtp://192.0.2.1:25"] }]
recipients = [{ domains = ["example.com"], call_ahead = {} }]
"""
RULE = '[[tls_out.destinations]]\nhosts = ["192.0.2.1"]\nlevel = "{0}"\n'


def load(folder: Path, more: str = "") -> Config:
    file = folder / "postroad.toml"
    file.write_text(HEAD + more)
    return load_config(file)


@pytest.fixture
def tools() -> Tools:
    return Tools(SystemClock(), lambda _: None, Turn(lambda call: call()), Suspensions(()), convert_in_thread)


async def level(courier: Courier) -> str:
    route = await courier.router.plan("smtp://192.0.2.1:25")
    assert isinstance(route, Route)
    security = route.targets[0].security
    return "" if security is None else security.level


async def test_deliveries(tmp_path: Path, tools: Tools) -> None:
    plain = courier_of(load(tmp_path), tools)
    assert await level(plain) == ""
    ruled = courier_of(load(tmp_path, RULE.format("required")), tools, plain)
    assert await level(ruled) == "required"
    assert ruled.deliverer is plain.deliverer  # its connections to others go on
    same = courier_of(load(tmp_path, RULE.format("required")), tools, ruled)
    assert same.router is ruled.router
    authority = Authority(tmp_path)
    trusting = courier_of(load(tmp_path, f'tls_out.ca = "{authority.file}"\n'), tools, same)
    assert trusting.deliverer is not same.deliverer
    assert await level(trusting) == ""
    for courier in (plain, trusting):
        await courier.deliverer.close()
    plain.resolver.close()


async def test_questions(tmp_path: Path) -> None:
    clock = SystemClock()
    config = load(tmp_path)
    tables = read_tables(config, clock, lambda _: None)
    same = read_tables(load(tmp_path), clock, lambda _: None, Before(config, tables))
    assert same.recipients is tables.recipients
    other = load(tmp_path, RULE.format("required"))
    ruled = read_tables(other, clock, lambda _: None, Before(config, tables))
    assert ruled.recipients is not tables.recipients
    await tables.close()
    await ruled.close()
