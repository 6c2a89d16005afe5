"""Sources and terms over real sockets: our address, name and certificate, TLS by lane, and what cannot be sent from."""

import ssl
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from postroad.delivery.dialing import with_terms
from postroad.delivery.egress import Egress, Source
from postroad.delivery.settings import DeliverySettings
from postroad.model.outcome import Deferred, Delivered, Scope
from postroad.model.records import SourceResumed, SourceSuspended
from postroad.model.route import SMTPS, Target, Terms
from postroad.net.tls.client import ClientContexts
from tests.support.clock import ManualClock
from tests.support.delivering import Sender, make_works, to
from tests.support.peer import Hang, Peer, Raw, Step, certificate

ONE, TWO = Source("one", ipv4="127.0.0.2", hostname="one.example.com"), Source("two", ipv4="127.0.0.3")
GONE = Source("gone", ipv4="192.0.2.77")
SOURCES = {"one": ONE, "two": TWO, "gone": GONE}
REQUIRED = Terms(tls="required")


async def test_address_and_name_of_a_source() -> None:
    async with Peer() as peer, Sender(egress=Egress(SOURCES, {})) as sender:
        (outcome,) = await sender.send(to(peer, source="one"))
        (plain,) = await sender.send(to(peer))
    assert isinstance(outcome, Delivered)
    assert outcome.source == "one"
    assert plain.source == ""
    assert peer.clients == ["127.0.0.2", "127.0.0.1"]
    assert [line for line in peer.commands if line.startswith("EHLO")] == [
        "EHLO one.example.com",
        "EHLO relay.example.com",
    ]


async def test_connections_of_different_sources_are_apart() -> None:
    egress = Egress(SOURCES, {"both": {"one": 3, "two": 1}})
    async with Peer() as peer, Sender(egress=egress) as sender:
        outcomes = [(await sender.send(to(peer, source="both")))[0] for _ in range(8)]
    assert Counter(outcome.source for outcome in outcomes) == {"one": 6, "two": 2}
    assert sorted(peer.clients) == ["127.0.0.2", "127.0.0.3"]
    for outcome, taken in zip(outcomes, peer.taken, strict=True):
        assert peer.clients[taken.session] == {"one": "127.0.0.2", "two": "127.0.0.3"}[outcome.source]


async def test_an_address_that_is_not_here_defers_and_says_which_option() -> None:
    async with Peer() as peer, Sender(egress=Egress(SOURCES, {})) as sender:
        (outcome,) = await sender.send(to(peer, source="gone"))
    assert isinstance(outcome, Deferred)
    assert str(outcome.reply) == "451 4.3.5 sources.gone.address: 192.0.2.77 is not on this host"
    assert outcome.scope is Scope.NEXT_HOP
    assert outcome.source == "gone"
    assert not peer.raw


async def test_the_others_of_a_pool_take_the_mail_of_one_that_cannot() -> None:
    clock = ManualClock()
    egress = Egress(SOURCES, {"pool": {"gone": 5, "one": 1}})
    async with Peer() as peer, Sender(egress=egress, clock=clock) as sender:
        outcomes = [(await sender.send(to(peer, source="pool")))[0] for _ in range(5)]
        (suspended,) = sender.records
        assert isinstance(suspended, SourceSuspended)
        assert suspended.reason == "sources.gone.address: 192.0.2.77 is not on this host"
        clock.advance(5)
        outcomes += await sender.send(to(peer, source="pool"))  # tried, and still not there
        assert len(sender.records) == 1
    assert {(type(outcome), outcome.source) for outcome in outcomes} == {(Delivered, "one")}


async def test_a_source_comes_back_by_one_message() -> None:
    clock = ManualClock()
    egress = Egress(SOURCES, {"pool": {"one": 1, "two": 1}})
    async with Peer() as peer, Sender(egress=egress, clock=clock) as sender:
        egress.health.fail("one", clock.monotonic(), fatal=True)
        clock.advance(5)
        (outcome,) = await sender.send(to(peer, source="pool"))
        (record,) = sender.records
    assert outcome.source == "one"
    assert isinstance(record, SourceResumed)
    assert record.seconds == pytest.approx(5)


async def test_a_source_that_nobody_configured() -> None:
    async with Peer() as peer, Sender() as sender:
        outcomes = await sender.send(to(peer, source="lost"), make_works("a@example.net", "b@example.net"))
    assert [str(outcome.reply) for outcome in outcomes] == [
        "451 4.3.5 the route asks for the source lost, and neither [sources] nor [pools] has it"
    ] * 2


async def test_no_address_of_the_family() -> None:
    only_v6 = Source("six", ipv6="::1")
    async with Peer() as peer, Sender(egress=Egress({"six": only_v6}, {}), ip="ipv6") as sender:
        (by_source,) = await sender.send(to(peer, source="six"))
        (by_option,) = await sender.send(to(peer))
    assert str(by_source.reply) == (
        "451 4.4.4 no address can be used: sources.six has no IPv4 address, and there are: 127.0.0.1"
    )
    assert (
        str(by_option.reply) == '451 4.4.4 no address can be used: delivery has ip = "ipv6", and there are: 127.0.0.1'
    )


async def test_preferred_family_first() -> None:
    six = Peer(host="::1")
    async with Peer() as four, Sender(ip="prefer-ipv6") as sender:
        six.port = four.port
        async with six:
            route = to(four, six)
            (outcome,) = await sender.send(route)
    assert outcome.target == route.targets[1]


async def test_ipv6_source() -> None:
    async with Peer(host="::1") as peer, Sender(egress=Egress({"six": Source("six", ipv6="::1")}, {})) as sender:
        (outcome,) = await sender.send(to(peer, source="six"))
    assert type(outcome) is Delivered


async def test_a_socket_of_this_host_needs_no_address(tmp_path: Path) -> None:
    async with Peer(lmtp=True, path=tmp_path / "lmtp") as peer, Sender(egress=Egress(SOURCES, {})) as sender:
        outcomes = await sender.send(to(peer, source="gone", terms=REQUIRED))
    assert isinstance(outcomes[0], Delivered)
    assert peer.commands[0].startswith("LHLO")


def make_pair(folder: Path, name: str) -> tuple[Path, Path]:
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    return cert, key


async def test_client_certificate(tmp_path: Path) -> None:
    cert, key = make_pair(tmp_path, "client")
    context = certificate(tmp_path)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cert)
    known = Source("known", tls=ClientContexts(cert, key))
    egress = Egress({"known": known, "bare": Source("bare")}, {})
    async with Peer(extensions=["STARTTLS"], tls=context) as peer, Sender(egress=egress) as sender:
        (outcome,) = await sender.send(to(peer, source="known", terms=REQUIRED))
        (refused,) = await sender.send(to(peer, source="bare", terms=REQUIRED))
    assert isinstance(outcome, Delivered)
    assert outcome.tls
    assert type(refused) is Deferred
    assert len(peer.taken) == 1


def test_a_changed_certificate_is_read_again(tmp_path: Path) -> None:
    cert, key = make_pair(tmp_path, "client")
    pair = ClientContexts(cert, key)
    first = pair.of(None)
    assert pair.of(None) is first
    other_cert, other_key = make_pair(tmp_path, "other")
    other_cert.replace(cert)
    assert pair.of(None) is first  # half of a pair
    other_key.replace(key)
    second = pair.of(None)
    assert second is not first
    assert pair.of(None) is second
    key.unlink()
    assert pair.of(None) is second


async def test_terms_of_a_lane() -> None:
    addresses = [f"u{number}@example.net" for number in range(5)]
    async with Peer() as peer, Sender() as sender:
        route = to(peer, terms=Terms(recipients=2, connection_messages=2))
        outcomes = await sender.send(route, make_works(*addresses))
    assert [type(outcome) for outcome in outcomes] == [Delivered] * 5
    assert [(len(taken.recipients), taken.session) for taken in peer.taken] == [(2, 0), (2, 0), (1, 1)]


@pytest.mark.parametrize(
    ("verb", "terms"),
    [
        ("MAIL", Terms(command_timeout=0.2)),
        ("DATA", Terms(data_timeout=0.2)),
        ("content", Terms(done_timeout=0.2)),
    ],
)
async def test_time_outs_of_a_lane(verb: str, terms: Terms) -> None:
    async with Peer(script={verb: [Hang()]}) as peer, Sender() as sender:
        (outcome,) = await sender.send(to(peer, terms=terms))
    assert "timed out after 0.2s" in outcome.reply.text


async def test_connections_of_other_terms_are_not_used(tmp_path: Path) -> None:
    context = certificate(tmp_path)
    async with Peer(extensions=["STARTTLS"], tls=context) as peer, Sender(tls="off") as sender:
        (plain,) = await sender.send(to(peer))
        (secure,) = await sender.send(to(peer, terms=REQUIRED))
        (again,) = await sender.send(to(peer))
        (secure_again,) = await sender.send(to(peer, terms=Terms(tls="required")))
    outcomes = [plain, secure, again, secure_again]
    assert [isinstance(one, Delivered) and bool(one.tls) for one in outcomes] == [False, True, False, True]
    assert [taken.session for taken in peer.taken] == [0, 1, 0, 1]


async def test_required_tls_that_is_not_offered_defers(tmp_path: Path) -> None:
    async with Peer() as bare, Peer(extensions=["STARTTLS"], tls=certificate(tmp_path)) as good, Sender() as sender:
        (alone,) = await sender.send(to(bare, terms=REQUIRED))
        (outcome,) = await sender.send(to(bare, good, terms=REQUIRED))
    assert isinstance(alone, Deferred)
    assert str(alone.reply) == "451 4.7.4 TLS is required, and peer.example.net[127.0.0.1] does not offer STARTTLS"
    assert alone.scope is Scope.HOST
    assert isinstance(outcome, Delivered)
    assert outcome.tls
    assert not bare.taken


async def test_required_tls_never_falls_back() -> None:
    script: dict[str, list[Step]] = {"STARTTLS": [Raw(b"220 go\r\n"), "454 4.7.0 not now"]}
    terms = Terms(tls="required", command_timeout=0.5)
    async with Peer(extensions=["STARTTLS"], script=script) as peer, Sender() as sender:
        outcomes = [(await sender.send(to(peer, terms=terms)))[0] for _ in range(2)]
    assert "fails at it: TLS" in outcomes[0].reply.text
    assert "refuses STARTTLS" in outcomes[1].reply.text
    assert [type(outcome) for outcome in outcomes] == [Deferred] * 2
    assert not peer.taken
    assert len(peer.raw) == 2


async def test_required_tls_from_the_first_octet(tmp_path: Path) -> None:
    async with Peer(tls=certificate(tmp_path), implicit_tls=True) as peer, Sender() as sender:
        target = Target(SMTPS, "peer.example.net", "127.0.0.1", peer.port)
        (outcome,) = await sender.send(to(target, terms=REQUIRED))
    assert type(outcome) is Delivered


async def test_tls_off_for_a_lane(tmp_path: Path) -> None:
    async with Peer(extensions=["STARTTLS"], tls=certificate(tmp_path)) as peer, Sender(tls="required") as sender:
        (secure,) = await sender.send(to(peer))
        (plain,) = await sender.send(to(peer, terms=Terms(tls="off")))
    assert isinstance(secure, Delivered)
    assert isinstance(plain, Delivered)
    assert secure.tls
    assert not plain.tls


def test_terms_never_lower_what_is_verified() -> None:
    verified = DeliverySettings(tls="verified")
    assert with_terms(verified, Terms(tls="required")).tls == "verified"
    assert with_terms(verified, Terms(tls="off")).tls == "off"  # a rule of ours may
    assert with_terms(DeliverySettings(), Terms(tls="verified")).tls == "verified"
