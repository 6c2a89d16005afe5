"""Questions to next hops over real sockets: what is said, what is never said, which target answers, what is kept."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from postroad.delivery.egress import Egress, Source
from postroad.delivery.probing import IDLE, Prober, Replies, share_of
from postroad.delivery.settings import DeliverySettings
from postroad.model.errors import AddressError, PeerError
from postroad.model.route import CAPTURE, LMTP, SMTP, Route, Target
from postroad.model.security import BY_RULE, VERIFIED, Security
from postroad.net.clock import SystemClock
from postroad.net.stream import open_stream
from postroad.net.tls.client import ClientContexts
from postroad.smtp.clientparse import ReplyReader
from postroad.smtp.probe import Probe
from tests.support.peer import Drop, Hang, Peer, Raw, Step, certificate
from tests.support.ports import free_port

MAIL = "MAIL FROM:<>"
ANN, BOB = "RCPT TO:<ann@x.example>", "RCPT TO:<bob@x.example>"
NO = {"bob@x.example": "550 5.1.1 No such user"}
LONG = 30.0


def target(peer: Peer) -> Target:
    return Target(LMTP if peer.lmtp else SMTP, "peer.example", "127.0.0.1", peer.port)


def route(*targets: Target, source: str = "") -> Route:
    return Route("lane", targets, "test", source=source)


class Kit:
    """A prober, and what is asked of it."""

    def __init__(self) -> None:
        self.made: list[Prober] = []

    def __call__(self, **options: Any) -> Prober:
        self.made.append(
            Prober(
                DeliverySettings.model_validate(options),
                hostname="relay.example.com",
                clock=SystemClock(),
                open_stream=open_stream,
                tls=ClientContexts(),
                egress=Egress({"other": Source("other", ipv4="127.0.0.9", hostname="other.example.com")}, {}),
            )
        )
        return self.made[-1]


@pytest.fixture
async def kit() -> AsyncIterator[Kit]:
    made = Kit()
    yield made
    for prober in made.made:
        await prober.close()


async def ask(prober: Prober, *targets: Target, rcpt: Sequence[str] = (ANN, BOB), timeout: float = LONG) -> Replies:
    return await prober.ask(route(*targets), MAIL, rcpt, timeout)


def codes(replies: Replies) -> list[int]:
    return [0 if reply is None else reply.code for reply in (replies.sender, *replies.recipients)]


@pytest.mark.parametrize("extensions", [("PIPELINING",), ()])
@pytest.mark.parametrize("lmtp", [False, True])
async def test_nothing_but_mail_and_rcpt_is_said(kit: Kit, extensions: tuple[str, ...], lmtp: bool) -> None:
    async with Peer(extensions=extensions, refuse=NO, lmtp=lmtp) as peer:
        prober = kit()
        for _ in range(3):
            replies = await ask(prober, target(peer))
            assert replies.target == target(peer)
            assert codes(replies) == [250, 250, 550]
        await prober.close()
        hello = "LHLO" if lmtp else "EHLO"
        one = ["MAIL", "RCPT", "RCPT"]
        assert [verb for verb in peer.verbs() if verb != "QUIT"] == [hello, *one, "RSET", *one, "RSET", *one]
        assert peer.taken == []


@pytest.mark.parametrize("extensions", [("PIPELINING",), ()])
async def test_a_refused_sender(kit: Kit, extensions: tuple[str, ...]) -> None:
    script: dict[str, list[Step]] = {"MAIL": ["550 5.1.0 null sender"]}
    async with Peer(extensions=extensions, script=script) as peer:
        prober = kit()
        replies = await ask(prober, target(peer))
        assert codes(replies)[0] == 550
        assert ("RCPT" in peer.verbs()) is bool(extensions)
        assert codes(await ask(prober, target(peer))) == [250, 250, 250]
        assert len(peer.clients) == 1


async def test_a_connection_with_many_refusals_is_not_kept(kit: Kit) -> None:
    async with Peer(refuse=NO) as peer:
        prober = kit()
        for _ in range(12):
            await ask(prober, target(peer), rcpt=[BOB])
        assert len(peer.clients) == 3


@pytest.mark.parametrize(
    "step", [Drop(), Drop("421 4.3.2 going"), "421 4.3.2 going", "500 5.5.1 what", "354 go on", Raw(b"no reply\r\n")]
)
async def test_a_kept_connection_that_has_died_is_replaced_at_once(kit: Kit, step: Step) -> None:
    async with Peer(script={"RSET": [step]}) as peer:
        prober = kit()
        assert codes(await ask(prober, target(peer))) == [250, 250, 250]
        assert codes(await ask(prober, target(peer))) == [250, 250, 250]
        assert len(peer.clients) == 2


@pytest.mark.parametrize(
    "script",
    [
        {"connect": [Drop()]},
        {"connect": ["554 5.3.2 not you"]},
        {"EHLO": ["550 no", "x"], "HELO": ["550 no"]},
        {"MAIL": [Drop()]},
        {"RCPT": [Drop("421 4.3.2 going")]},
        {"RCPT": [Raw(b"250 a\r\n250 b\r\n250 c\r\n250 d\r\n")]},
        {"RCPT": [Raw(b"\xff\xfe\r\n")]},
    ],
)
async def test_the_next_target_is_asked(kit: Kit, script: dict[str, list[Step]]) -> None:
    nobody = Target(SMTP, "nobody.example", "127.0.0.1", free_port())
    async with Peer(script=script) as bad, Peer(refuse=NO) as good:
        replies = await ask(kit(), nobody, target(bad), Target(CAPTURE, CAPTURE, "", 0), target(good))
        assert replies.target == target(good)
        assert codes(replies) == [250, 250, 550]


async def test_when_nobody_answers_it_is_told_why(kit: Kit) -> None:
    async with Peer(script={"connect": ["554 5.3.2 not you"]}) as peer:
        replies = await ask(kit(), target(peer))
        assert (replies.target, codes(replies)) == (None, [0])
        assert "greeting: 554 5.3.2 not you" in replies.words
    assert "no target" in (await ask(kit(), Target(CAPTURE, CAPTURE, "", 0))).words


@pytest.mark.parametrize("verb", ["connect", "EHLO", "MAIL", "RCPT"])
async def test_a_silent_target_is_given_up(kit: Kit, verb: str) -> None:
    async with Peer(script={verb: [Hang()]}) as peer:
        prober = kit()
        assert (await ask(prober, target(peer), timeout=0.2)).words.count("no answer within") == 1
        assert codes(await ask(prober, target(peer))) == [250, 250, 250]


async def test_a_kept_connection_that_is_silent_is_given_up(kit: Kit) -> None:
    async with Peer(script={"RSET": [Hang()]}) as peer:
        prober = kit()
        await ask(prober, target(peer))
        assert (await ask(prober, target(peer), timeout=0.2)).target is None
        assert codes(await ask(prober, target(peer))) == [250, 250, 250]


def test_a_target_leaves_time_for_the_others() -> None:
    assert [share_of(8.0, others=others) for others in (2, 1, 0)] == [4.0, 4.0, 8.0]


async def test_tls_where_it_is_offered_and_plain_text_where_it_fails(kit: Kit, tmp_path: Path) -> None:
    async with Peer(extensions=("STARTTLS",), tls=certificate(tmp_path)) as peer:
        assert codes(await ask(kit(), target(peer))) == [250, 250, 250]
        assert peer.verbs()[:3] == ["EHLO", "STARTTLS", "EHLO"]
    script: dict[str, list[Step]] = {"STARTTLS": [Raw(b"220 go\r\n"), Raw(b"220 go\r\n")]}
    async with Peer(extensions=("STARTTLS",), script=script) as peer:
        assert codes(await ask(kit(command_timeout="2s"), target(peer))) == [250, 250, 250]
        assert (await ask(kit(command_timeout="2s", tls="required"), target(peer))).target is None


async def test_from_the_source_of_the_route(kit: Kit) -> None:
    async with Peer() as peer:
        replies = await kit().ask(route(target(peer), source="other"), MAIL, [ANN], LONG)
        assert codes(replies) == [250, 250]
        assert peer.clients == ["127.0.0.9"]
        assert peer.commands[0] == "EHLO other.example.com"


@pytest.mark.parametrize("extensions", [("SMTPUTF8",), ()])
async def test_addresses_that_need_smtputf8(kit: Kit, extensions: tuple[str, ...]) -> None:
    async with Peer(extensions=extensions) as peer:
        replies = await ask(kit(), target(peer), rcpt=["RCPT TO:<jürgen@x.example>"])
        if extensions:
            assert codes(replies) == [250, 250]
            assert peer.commands[1] == "MAIL FROM:<> SMTPUTF8"
        else:
            assert replies.words == "it does not offer SMTPUTF8"
            assert "MAIL" not in peer.verbs()


async def test_idle_connections_are_closed(kit: Kit) -> None:
    async with Peer() as peer:
        await ask(kit(), target(peer))
        async with asyncio.timeout(IDLE + LONG):
            while peer.open:
                await asyncio.sleep(0.05)


def test_no_command_ever_carries_a_second_one() -> None:
    for mail, rcpt in ((f"{MAIL}\r\nDATA", ANN), (MAIL, f"{ANN}\nDATA"), (MAIL, f"{ANN}\0")):
        with pytest.raises(AddressError):
            Probe(ReplyReader(), mail, [rcpt], is_pipelined=True).begin(reset=False)


SAID = b"250 2.0.0 Ok\r\n250-2.1.0 a\r\n250 2.1.0 b\r\n550 5.1.1 no\r\n450 4.2.0 later\r\n"


@given(st.lists(st.integers(0, len(SAID)), max_size=6), st.booleans())
def test_replies_in_any_pieces(cuts: list[int], is_pipelined: bool) -> None:
    probe = Probe(ReplyReader(), MAIL, [ANN, BOB], is_pipelined=is_pipelined)
    probe.begin(reset=True)
    places = sorted({0, *cuts, len(SAID)} | (set() if is_pipelined else {14, 42, 57}))
    for begin, end in pairwise(places):
        probe.receive(SAID[begin:end])
    assert probe.ended
    assert [reply and reply.code for reply in (probe.sender, *probe.recipients)] == [250, 550, 450]


@given(st.binary(max_size=200), st.booleans())
def test_any_octets_are_replies_or_an_error(octets: bytes, is_pipelined: bool) -> None:
    probe = Probe(ReplyReader(), MAIL, [ANN], is_pipelined=is_pipelined)
    probe.begin(reset=False)
    try:
        probe.receive(octets)
    except PeerError:
        return
    assert len(probe.recipients) == 1


async def test_nothing_is_asked_of_who_does_not_have_the_tls_that_is_demanded(kit: Kit, tmp_path: Path) -> None:
    async with Peer(extensions=("STARTTLS",), tls=certificate(tmp_path)) as peer:
        demand = Security(VERIFIED, BY_RULE, "tls_out.destinations[0]")
        replies = await ask(kit(), replace(target(peer), security=demand))
        assert replies.target is None
        assert "the certificate is signed by itself" in replies.words
        assert not {"MAIL", "RCPT"} & set(peer.verbs())
