"""Whether the resolver validates is proved by asking: by scripts that lie in every way that resolvers do."""

import asyncio

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from postroad.model.record import Record
from postroad.model.records import ValidationProved, ValidationRefuted
from postroad.net.dns.validation import AGAIN, HOLDS, Proof, Validation, conclusion, prove_all
from postroad.net.settings import ResolverSettings
from tests.support.clock import ManualClock
from tests.support.dnsscript import Script, serving

SOA = ". 300 IN SOA ns. hostmaster. 1 3600 600 86400 300"


def says(*, ad: bool = True, bogus: int = dns.rcode.SERVFAIL, signed: int = dns.rcode.NOERROR) -> Script:
    """Of the name "bogus.example" as `bogus` says, of all others as `signed`; `ad`: authentic."""

    def answer(question: dns.message.Message) -> list[dns.message.Message | bytes]:
        response = dns.message.make_response(question)
        asked = question.question[0].name
        rcode = bogus if asked.to_text() == "bogus.example." else signed
        response.flags |= dns.flags.RA | (dns.flags.AD if ad else 0)
        response.set_rcode(dns.rcode.Rcode(rcode))
        if rcode == dns.rcode.NOERROR:
            response.answer.append(dns.rrset.from_text(asked, 300, "IN", "SOA", SOA.partition("SOA ")[2]))
        return [response]

    return answer


def silent(_question: dns.message.Message) -> list[dns.message.Message | bytes]:
    return []


async def prove(*scripts: Script, more: tuple[str, ...] = (), bogus: str = "bogus.example", signed: str = ".") -> Proof:
    servers = [serving(script) for script in scripts]
    running = [await one.__aenter__() for one in servers]
    try:
        names = [f"127.0.0.1:{server.port}" for server in running]
        options = {"nameservers": [*names, *more], "timeout": "200ms" if silent in scripts else "30s", "attempts": 1}
        settings = ResolverSettings.model_validate({**options, "bogus_name": bogus, "signed_name": signed})
        return await prove_all(settings, ManualClock())
    finally:
        for one in servers:
            await one.__aexit__(None, None, None)


@pytest.mark.parametrize("signed", [".", "signed.example"])
async def test_a_server_that_validates(signed: str) -> None:
    proof = await prove(says(), signed=signed)
    assert proof.validates is True
    assert "validates" in proof.words
    assert (await prove(says(bogus=dns.rcode.NOERROR), bogus="")).validates is True  # it is not tried


@pytest.mark.parametrize(
    ("script", "validates", "words"),
    [
        (says(ad=False), False, "does not call . authentic, though it is signed"),
        (says(bogus=dns.rcode.NOERROR), False, "answers for bogus.example, which is not signed as it should be"),
        (says(bogus=dns.rcode.NXDOMAIN), False, "answers for bogus.example"),
        (says(signed=dns.rcode.SERVFAIL), None, "does not answer for .: SERVFAIL"),
        (silent, None, "does not answer for .: timed out"),
    ],
)
async def test_servers_that_do_not_and_that_say_nothing(script: Script, validates: bool | None, words: str) -> None:
    proof = await prove(script)
    assert proof.validates is validates
    assert words in proof.words


async def test_all_servers_have_to() -> None:
    assert (await prove(says(), says())).validates is True
    mixed = await prove(says(), says(ad=False))
    assert (mixed.validates, "does not call" in mixed.words) == (False, True)
    far = await prove(says(), more=("192.0.2.53",))
    assert (far.validates, "192.0.2.53 is not on this host" in far.words) == (False, True)


def test_nothing_known_is_no_proof() -> None:
    assert conclusion([Proof(None, "a"), Proof(None, "b")]) == Proof(None, "a; b")
    assert conclusion([Proof(True, "a"), Proof(None, "b")]) == Proof(True, "a")  # who is silent has no word in anything
    assert conclusion([Proof(True, "a"), Proof(None, "b"), Proof(False, "c")]) == Proof(False, "c")


class Scene:
    """A `Validation` whose proofs are given."""

    def __init__(self, *proofs: bool | None) -> None:
        self.proofs = list(proofs)
        self.told: list[Record] = []
        self.prepared = 0
        self.clock = ManualClock()

    async def prove(self) -> Proof:
        await asyncio.sleep(0)
        return Proof(self.proofs.pop(0), "words")

    async def prepare(self) -> None:
        self.prepared += 1


async def test_what_is_known_holds_for_a_while_and_changes_are_told() -> None:
    scene = Scene(True, None, True, False, True)
    ask = Validation(scene.prove, scene.clock, emit=scene.told.append, prepare=scene.prepare)
    assert scene.proofs[1:] == [None, True, False, True]  # nobody has asked yet
    assert await asyncio.gather(*(ask() for _ in range(20))) == [True] * 20
    assert len(scene.proofs) == 4  # one question, whoever waits
    scene.clock.advance(HOLDS - 1)
    assert await ask()
    assert len(scene.proofs) == 4
    scene.clock.advance(1)
    assert await ask()  # a server that is silent changes nothing
    scene.clock.advance(AGAIN)
    assert await ask()
    scene.clock.advance(HOLDS)
    assert not await ask()
    scene.clock.advance(AGAIN)
    assert await ask()
    assert [type(one) for one in scene.told] == [ValidationProved, ValidationRefuted, ValidationProved]
    assert scene.prepared


async def test_while_nothing_is_known_authentic_answers_count() -> None:
    scene = Scene(None, False)
    ask = Validation(scene.prove, scene.clock, emit=scene.told.append, prepare=scene.prepare)
    assert await ask()
    assert (scene.told, scene.prepared) == ([], 1)
    scene.clock.advance(AGAIN)
    assert not await ask()
    assert [type(one) for one in scene.told] == [ValidationRefuted]


async def test_who_does_not_validate_costs_nothing_more() -> None:
    scene = Scene(False)
    assert not await Validation(scene.prove, scene.clock, prepare=scene.prepare)()
    assert scene.prepared == 0
