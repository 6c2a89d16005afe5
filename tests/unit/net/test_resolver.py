"""The resolver against servers that misbehave on purpose, on both event loops."""

import asyncio
import socket
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
import uvloop

from postroad.model.dns import Answer, DnsStatus, Lookup, MxRecord
from postroad.net.addresses import is_loopback
from postroad.net.dns import resolver as under_test
from postroad.net.dns.exchange import SHARED_USES
from postroad.net.dns.resolver import Resolver
from postroad.net.dns.system import HostsFile
from postroad.net.settings import ResolverSettings
from tests.support.clock import ManualClock
from tests.support.dnsscript import Script, Server, serving

Run = Callable[[Coroutine[None, None, None]], None]
NOBODY = HostsFile(Path("/nonexistent/hosts"))


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        yield runner.run


def resolver(*servers: Server, clock: ManualClock | None = None, timeout: str = "5s", **more: int) -> Resolver:
    addresses = tuple(f"127.0.0.1:{server.port}" for server in servers)
    settings = ResolverSettings.model_validate({"nameservers": addresses, "timeout": timeout, **more})
    return Resolver(settings, clock or ManualClock(), NOBODY)


def reply(question: dns.message.Message, *records: str, rcode: int = 0, flags: int = 0) -> dns.message.Message:
    response = dns.message.make_response(question)
    response.flags |= dns.flags.RA | flags
    response.set_rcode(dns.rcode.Rcode(rcode))
    for text in records:
        name, ttl, kind, data = text.split(" ", 3)
        response.answer.append(dns.rrset.from_text(name, int(ttl), "IN", kind, data))
    return response


def always(*records: str, rcode: int = 0, flags: int = 0) -> Script:
    return lambda question: [reply(question, *records, rcode=rcode, flags=flags)]


def silent(question: dns.message.Message) -> list[dns.message.Message | bytes]:
    return []


A = "a.example. 300 A 192.0.2.1"


def test_asks_once_and_remembers(run: Run) -> None:
    async def scene() -> None:
        clock = ManualClock()
        async with serving(always(A)) as server:
            ask = resolver(server, clock=clock)
            lookup: Lookup = ask
            assert ask.cached("a.example", "A") is None
            first = await lookup("A.Example.", "A")
            assert first == Answer(DnsStatus.FOUND, ("192.0.2.1",), 300, authentic=False, canonical="a.example")
            clock.advance(100)
            assert await ask("a.example", "A") == ask.cached("a.example", "A")
            assert (await ask("a.example", "A")).ttl == 200
            assert len(server.asked) == 1
            clock.advance(200)
            assert (await ask("a.example", "A")).ttl == 300
            assert len(server.asked) == 2
            ask.close()

    run(scene())


def test_equal_questions_share_one_answer(run: Run) -> None:
    async def scene() -> None:
        async with serving(always(A)) as server:
            ask = resolver(server, cache_size=0)
            answers = await asyncio.gather(*(ask("a.example", "A") for _ in range(50)), ask("a.example", "AAAA"))
            assert {answer.status for answer in answers[:50]} == {DnsStatus.FOUND}
            assert len(server.asked) == 2
            ask.close()

    run(scene())


def test_who_gives_up_takes_nothing_from_the_others(run: Run) -> None:
    async def scene() -> None:
        held: list[dns.message.Message] = []

        def hold(question: dns.message.Message) -> list[dns.message.Message | bytes]:
            held.append(question)
            return [reply(question, A)] if len(held) > 1 else []

        async with serving(hold) as server:
            ask = resolver(server)
            leader, follower, quitter = (asyncio.ensure_future(ask("a.example", "A")) for _ in range(3))
            while not held:
                await asyncio.sleep(0)
            quitter.cancel()
            await asyncio.wait([quitter])
            assert not follower.done()
            leader.cancel()
            assert (await follower).records == ("192.0.2.1",)
            assert len(held) == 2
            ask.close()

    run(scene())


def test_a_thousand_questions_at_once(run: Run) -> None:
    async def scene() -> None:
        def echo_name(question: dns.message.Message) -> list[dns.message.Message | bytes]:
            return [reply(question, f"{question.question[0].name} 60 A 192.0.2.{len(server.asked) % 250}")]

        async with serving(echo_name) as server:
            ask = resolver(server, attempts=10)
            names = [f"h{at}.example" for at in range(SHARED_USES + 500)]
            answers = await asyncio.gather(*(ask(name, "A") for name in names))
            assert [answer.canonical for answer in answers] == names
            assert all(answer.status is DnsStatus.FOUND for answer in answers)
            assert len({question.id for question in server.asked}) > 1000  # not counted up, not constant
            assert len(set(server.ports)) > 1  # sockets are given up after some uses
            ask.close()

    run(scene())


def test_too_many_questions_are_given_up_at_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "WAITING_LIMIT", 3)

    async def scene() -> None:
        async with serving(silent) as server:
            ask = resolver(server)
            waiting = [asyncio.ensure_future(ask(f"h{at}.example", "A")) for at in range(3)]
            await asyncio.sleep(0)
            assert (await ask("one-more.example", "A")).status is DnsStatus.TIMED_OUT
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)
            ask.close()

    run(scene())


def test_truncated_answers_are_asked_again_over_tcp(run: Run) -> None:
    records = [f"a.example. 60 TXT {'x' * 200}{at}" for at in range(200)]

    def script(question: dns.message.Message) -> list[dns.message.Message | bytes]:
        if question.flags & dns.flags.CD:
            return [reply(question, *records)]
        return [reply(question, flags=dns.flags.TC)]

    async def scene() -> None:
        async with serving(script) as server:
            ask = resolver(server)
            assert len((await ask("a.example", "TXT")).records) == 200
            ask.close()

    run(scene())


@pytest.mark.parametrize("over_tcp", [b"nonsense", b""])
def test_failures_over_tcp_are_failures(run: Run, over_tcp: bytes) -> None:
    def script(question: dns.message.Message) -> list[dns.message.Message | bytes]:
        return [over_tcp] if question.flags & dns.flags.CD else [reply(question, flags=dns.flags.TC)]

    async def scene() -> None:
        async with serving(script) as server:
            ask = resolver(server)
            assert (await ask("a.example", "A")).status is DnsStatus.FAILED
            ask.close()

    run(scene())


def test_forged_and_broken_datagrams_are_passed_over(run: Run) -> None:
    def script(question: dns.message.Message) -> list[dns.message.Message | bytes]:
        wrong_id = reply(question, "a.example. 60 A 192.0.2.66")
        wrong_id.id = (question.id + 1) % 65536
        other = dns.message.make_query("b.example", "A")
        other.id = question.id
        true = reply(question, A)
        return [b"", b"\0", wrong_id, reply(other, "b.example. 60 A 192.0.2.66"), true.to_wire()[:-3], true, true]

    async def scene() -> None:
        async with serving(script) as server:
            ask = resolver(server)
            assert (await ask("a.example", "A")).records == ("192.0.2.1",)
            ask.close()

    run(scene())


def test_silence_times_out_and_is_remembered_for_a_moment(run: Run) -> None:
    async def scene() -> None:
        clock = ManualClock()
        async with serving(silent) as server:
            ask = resolver(server, clock=clock, timeout="100ms", attempts=2)
            assert await ask("a.example", "A") == Answer(DnsStatus.TIMED_OUT)
            assert len(server.asked) == 2
            assert (await ask("a.example", "A")).is_temporary
            assert len(server.asked) == 2
            clock.advance(1)
            assert (await ask("a.example", "A")).is_temporary
            assert len(server.asked) == 4
            ask.close()

    run(scene())


def test_a_port_where_nobody_listens_is_a_failure_at_once(run: Run) -> None:
    async def scene() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        settings = ResolverSettings.model_validate({"nameservers": (f"127.0.0.1:{port}",), "timeout": "30s"})
        ask = Resolver(settings, ManualClock(), NOBODY)
        assert await ask("a.example", "A") == Answer(DnsStatus.UNREACHABLE)
        ask.close()

    run(scene())


@pytest.mark.parametrize("first", [silent, always(rcode=2), always(rcode=5)])
def test_the_next_server_is_asked_and_the_bad_one_tried_last(run: Run, first: Script) -> None:
    async def scene() -> None:
        clock = ManualClock()
        async with serving(first) as bad, serving(always(A)) as good:
            ask = resolver(bad, good, clock=clock, timeout="200ms", cache_size=0)
            assert (await ask("a.example", "A")).records == ("192.0.2.1",)
            assert len(bad.asked) == 1
            await ask("a.example", "A")
            assert len(bad.asked) == (1 if first is silent else 2)
            bad.script = always(A)
            clock.advance(60)
            await ask("a.example", "A")
            assert (len(bad.asked), len(good.asked)) == ((2, 2) if first is silent else (3, 2))
            ask.close()

    run(scene())


def test_failures_of_all_servers(run: Run) -> None:
    async def scene() -> None:
        async with serving(always(rcode=2)) as one, serving(always(rcode=5)) as two:
            ask = resolver(one, two)
            assert (await ask("a.example", "A")).status is DnsStatus.FAILED
            assert (len(one.asked), len(two.asked)) == (1, 1)
            ask.close()

    run(scene())


@pytest.mark.parametrize("rcode", [1, 4, 16])
def test_servers_that_do_not_know_edns(run: Run, rcode: int) -> None:
    def script(question: dns.message.Message) -> list[dns.message.Message | bytes]:
        return [reply(question, rcode=rcode) if question.edns >= 0 else reply(question, A)]

    async def scene() -> None:
        async with serving(script) as server:
            ask = resolver(server, cache_size=0)
            assert (await ask("a.example", "A")).records == ("192.0.2.1",)
            assert (await ask("a.example", "A")).records == ("192.0.2.1",)
            assert [question.edns for question in server.asked] == [0, -1, -1]
            ask.close()

    run(scene())


def test_chains_that_a_server_breaks_off_are_taken_up(run: Run) -> None:
    def script(question: dns.message.Message) -> list[dns.message.Message | bytes]:
        name = str(question.question[0].name)
        if name == "a.example.":
            return [reply(question, "a.example. 40 CNAME b.example.", flags=dns.flags.AD)]
        return [reply(question, f"{name} 60 MX 10 mx.example.")]

    async def scene() -> None:
        async with serving(script) as server:
            ask = resolver(server)
            answer = await ask("a.example", "MX")
            assert answer == Answer(DnsStatus.FOUND, (MxRecord(10, "mx.example"),), 40, False, "b.example")
            ask.close()

    run(scene())


def test_chains_without_end_are_a_failure(run: Run) -> None:
    def script(question: dns.message.Message) -> list[dns.message.Message | bytes]:
        name = str(question.question[0].name)
        return [reply(question, f"{name} 40 CNAME x{name}")]

    async def scene() -> None:
        async with serving(script) as server:
            ask = resolver(server)
            assert (await ask("a.example", "MX")).status is DnsStatus.FAILED
            ask.close()

    run(scene())


def test_authentic_only_from_the_loopback(run: Run) -> None:
    async def scene() -> None:
        async with serving(always(A, flags=dns.flags.AD)) as server:
            ask = resolver(server)
            assert (await ask("a.example", "A")).authentic
            ask._servers[0].is_trusted = False
            assert not (await ask("b.example", "A")).authentic
            ask.close()
        assert is_loopback("::1")
        assert not is_loopback("192.0.2.53")
        assert not is_loopback("fe80::1%eth0")

    run(scene())


def test_impossible_names_are_not_asked_for(run: Run) -> None:
    async def scene() -> None:
        async with serving(always(A)) as server:
            ask = resolver(server)
            for name in ("a..example", "a" * 64 + ".example", "ü.example"):
                assert (await ask(name, "A")).status is DnsStatus.NO_NAME
            assert not server.asked
            ask.close()

    run(scene())


def test_names_of_this_host_need_no_dns(run: Run) -> None:
    async def scene() -> None:
        async with serving(silent) as server:
            ask = resolver(server)
            assert (await ask("localhost", "A")).records == ("127.0.0.1",)
            assert ask.cached("LOCALHOST.", "AAAA") is not None
            assert not server.asked
            ask.close()

    run(scene())


def test_closing_ends_what_waits(run: Run) -> None:
    async def scene() -> None:
        async with serving(silent) as server:
            ask = resolver(server, timeout="30s")
            waiting = asyncio.ensure_future(ask("a.example", "A"))
            while not server.asked:
                await asyncio.sleep(0)
            ask.close()
            assert (await waiting).is_temporary

    run(scene())
