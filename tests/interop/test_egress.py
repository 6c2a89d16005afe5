"""Egress by real proxies: microsocks and Dante (SOCKS5), HAProxy (PROXY protocol), with what each does to failures."""

import asyncio
import smtplib
from collections import Counter
from pathlib import Path

import pytest
import uvloop

from postroad.delivery.egress import Egress, Source
from postroad.model.outcome import Deferred, Delivered, Scope
from postroad.model.records import SourceSuspended, TargetSuspended
from postroad.model.route import SMTP, Target
from postroad.net.proxy import parse_proxy
from tests.support.delivering import CONTENT, SENT, Large, Sender, make_works, to
from tests.support.peer import Peer, certificate
from tests.support.ports import free_port
from tests.support.proxies import dante, haproxy, microsocks
from tests.support.relay import CAPTURE, Relay

SOURCES = """
[sources.a]
address = "127.0.0.2"
ehlo = "a.example.com"
[sources.b]
address = "127.0.0.3"
[sources.gone]
address = "192.0.2.7"
[pools.pool]
sources = { a = 3, b = 1, gone = 4 }
"""
DEAD = Target(SMTP, "dead.example.net", "127.0.0.1", 1)


def by(proxy: str, ours: str = "") -> Egress:
    """One source, "far", that leaves by `proxy`; `ours` is its address."""
    ipv4, ipv6 = ("", ours) if ":" in ours else (ours, "")
    return Egress({"far": Source("far", ipv4, ipv6, proxy=parse_proxy(proxy))}, {})


async def test_microsocks() -> None:
    with microsocks(source="127.0.0.5") as port:
        async with Peer() as peer, Sender(egress=by(f"socks5://127.0.0.1:{port}")) as sender:
            outcomes = [(await sender.send(to(peer, source="far")))[0] for _ in range(3)]
            outcomes += await sender.send(to(peer, source="far"), make_works(content=Large(CONTENT * 20_000)))
    assert [(type(outcome), outcome.source) for outcome in outcomes] == [(Delivered, "far")] * 4
    assert peer.clients == ["127.0.0.5"]  # one connection, kept
    assert peer.taken[0].content == SENT


async def test_microsocks_with_a_log_in() -> None:
    with microsocks(user="me", password="hunter2") as port:
        async with Peer() as peer, Sender(egress=by(f"socks5://me:hunter2@127.0.0.1:{port}")) as sender:
            (granted,) = await sender.send(to(peer, source="far"))
        async with Peer() as peer, Sender(egress=by(f"socks5://me:wrong@127.0.0.1:{port}")) as sender:
            (refused,) = await sender.send(to(peer, source="far"))
        async with Peer() as peer, Sender(egress=by(f"socks5://127.0.0.1:{port}")) as sender:
            (asked,) = await sender.send(to(peer, source="far"))
    assert type(granted) is Delivered
    where = f"451 4.3.5 sources.far.proxy: socks5://127.0.0.1:{port}"
    assert str(refused.reply) == f"{where} refused the user and password"
    assert str(asked.reply) == f"{where} wants a user and password, or another proof"
    assert {type(refused), type(asked)} == {Deferred}


async def test_dante(tmp_path: Path) -> None:
    context = certificate(tmp_path)
    forbidden = Target(SMTP, "forbidden.example.net", "127.0.0.99", 25)
    with dante(tmp_path, source="127.0.0.6") as port:
        sender = Sender(egress=by(f"socks5://127.0.0.1:{port}"), tls="required")
        async with Peer(extensions=["STARTTLS"], tls=context) as peer, sender:
            (outcome,) = await sender.send(to(DEAD, peer, source="far"))
            (refused,) = await sender.send(to(DEAD, source="far"))
            (barred,) = await sender.send(to(forbidden, source="far"))
            (record,) = sender.records[:1]
    assert isinstance(outcome, Delivered)
    assert outcome.tls
    assert peer.clients == ["127.0.0.6"]
    assert "connection refused" in refused.reply.text
    assert isinstance(refused, Deferred)
    assert refused.scope is Scope.HOST
    assert isinstance(record, TargetSuspended)
    assert record.source == "far"
    assert barred.reply.text == f"sources.far.proxy: socks5://127.0.0.1:{port} connection not allowed by its rules"


@pytest.mark.parametrize(("host", "ours"), [("127.0.0.1", "127.0.0.7"), ("::1", "::1")])
async def test_haproxy(tmp_path: Path, host: str, ours: str) -> None:
    with haproxy(tmp_path) as port:
        async with Peer(host=host) as peer, Sender(egress=by(f"haproxy://127.0.0.1:{port}", ours)) as sender:
            outcomes = [(await sender.send(to(peer, source="far")))[0] for _ in range(2)]
            (large,) = await sender.send(to(peer, source="far"), make_works(content=Large(CONTENT * 20_000)))
    assert [type(outcome) for outcome in [*outcomes, large]] == [Delivered] * 3
    assert peer.clients == [ours]
    assert peer.taken[0].content == SENT


async def test_a_dead_target_behind_haproxy_leaves_at_once(tmp_path: Path) -> None:
    with haproxy(tmp_path) as port:
        egress = by(f"haproxy://127.0.0.1:{port}", "127.0.0.7")
        async with Peer() as peer, Sender(egress=egress, greeting_timeout="20s") as sender:
            (outcome,) = await sender.send(to(DEAD, peer, source="far"))
            (record,) = sender.records
    assert type(outcome) is Delivered
    assert isinstance(record, TargetSuspended)
    assert record.target == str(DEAD)


@pytest.mark.parametrize("scheme", ["socks5", "haproxy"])
async def test_a_proxy_that_is_down_is_no_fault_of_the_target(scheme: str) -> None:
    port = free_port()
    down = Source("down", ipv4="127.0.0.7", proxy=parse_proxy(f"{scheme}://127.0.0.1:{port}"))
    egress = Egress({"down": down, "here": Source("here")}, {"pool": {"down": 9, "here": 1}})
    async with Peer() as peer, Peer() as other, Sender(egress=egress) as sender:
        (alone,) = await sender.send(to(peer, other, source="down"))
        (pooled,) = await sender.send(to(peer, other, source="pool"))
        records = list(sender.records)
    assert isinstance(alone, Deferred)
    assert str(alone.reply) == f"451 4.3.5 sources.down.proxy: {scheme}://127.0.0.1:{port}: connection refused"
    assert alone.scope is Scope.NEXT_HOP
    assert (type(pooled), pooled.source) == (Delivered, "here")
    assert [type(record) for record in records] == [SourceSuspended]


def test_on_the_event_loop_of_the_server(tmp_path: Path) -> None:
    async def scene(egress: Egress) -> list[str]:
        async with Peer() as peer, Sender(egress=egress) as sender:
            outcomes = [(await sender.send(to(peer, source=name)))[0] for name in ("socks", "haproxy", "here")]
        assert [type(outcome) for outcome in outcomes] == [Delivered] * 3
        return peer.clients

    with microsocks(source="127.0.0.5") as socks, haproxy(tmp_path) as port:
        sources = (
            Source("socks", proxy=parse_proxy(f"socks5://127.0.0.1:{socks}")),
            Source("haproxy", "127.0.0.7", proxy=parse_proxy(f"haproxy://127.0.0.1:{port}")),
            Source("here", "127.0.0.8"),
        )
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            clients = runner.run(scene(Egress({source.name: source for source in sources}, {})))
    assert clients == ["127.0.0.5", "127.0.0.7", "127.0.0.8"]


def test_the_server_starts_without_an_address_and_shows_no_secret(tmp_path: Path) -> None:
    sources = '[sources.a]\naddress = "192.0.2.77"\n[sources.b]\nproxy = "socks5://me:hunter2@127.0.0.1:9"\n'
    with Relay(tmp_path, f"{CAPTURE}{sources}[pools.p]\nsources = {{ a = 1, b = 2 }}\n") as relay:
        relay.stop()
        said = (tmp_path / "stdout").read_text() + relay.log_file.read_text()
    assert 'sources.a.address: "192.0.2.77": is not an address of this host; mail from this source will wait' in said
    assert "hunter2" not in said


async def test_a_real_server_shares_among_sources_and_hosts(tmp_path: Path) -> None:
    async with Peer() as one, Peer() as two:
        hops = f'next_hops = ["smtp://127.0.0.1:{one.port}", "smtp://127.0.0.1:{two.port}"]'
        relay = Relay(tmp_path, f'{SOURCES}[[routes]]\n{hops}\nbalance = "round-robin"\nsource = "pool"\n')

        def send() -> None:
            with smtplib.SMTP("127.0.0.1", relay.port, timeout=20) as client:
                for number in range(40):
                    client.sendmail("alice@example.org", [f"u{number}@example.net"], "Subject: x\r\n\r\nHello\r\n")

        with relay:
            await asyncio.to_thread(send)
            first = await asyncio.to_thread(relay.wait_for, "RecipientDelivered", 40)
            assert set(one.clients + two.clients) == {"127.0.0.2", "127.0.0.3"}
            assert min(len(one.taken), len(two.taken)) >= 15
            await one.__aexit__(None, None, None)
            await asyncio.to_thread(send)
            await asyncio.to_thread(relay.wait_for, "RecipientDelivered", 80)
            deferred = relay.records("RecipientDeferred")
            suspended = {entry["source"] for entry in relay.records("TargetSuspended")}
            (gone,) = relay.records("SourceSuspended")
            await asyncio.to_thread(relay.stop)
        await one.__aenter__()
    counted = Counter(entry["source"] for entry in first)
    assert set(counted) == {"a", "b"}
    assert counted["a"] > 2 * counted["b"]
    assert not deferred
    assert suspended == {"a", "b"}
    assert gone["reason"] == "sources.gone.address: 192.0.2.7 is not on this host"
    assert sorted(len(taken.recipients) for taken in one.taken + two.taken) == [1] * 80


async def test_a_proxy_that_is_none() -> None:
    mute = Peer()  # an SMTP server where the proxy should be
    async with mute, Peer() as peer, Sender(egress=by(f"socks5://127.0.0.1:{mute.port}")) as sender:
        (outcome,) = await sender.send(to(peer, source="far"))
    assert outcome.reply.text.endswith("does not speak SOCKS5")
