"""The test for an open relay finds open relays, whichever trick opens them, and nothing else."""

import asyncio
from collections.abc import Callable

import pytest

from postroad.doctor.around import Around
from postroad.doctor.finding import Finding, Level
from postroad.doctor.relay import STRANGERS, check_relay
from postroad.doctor.talk import MemoryTalk
from postroad.doctor.tricks import ELSEWHERE, tricks
from postroad.model.reply import Reply
from postroad.policy.context import RcptContext
from postroad.policy.verdict import Accept, Answer, Reject
from tests.support.clock import ManualClock
from tests.support.conversation import Desk
from tests.support.doctoring import config_of, no_dns, no_proof

DOMAINS = '[access]\nrelay_domains = ["*.example.net", "example.com"]\n'
Policy = Callable[[RcptContext], Answer | None]


def findings(policy: Policy | None = None, access: str = "") -> list[Finding]:
    """What is found of a server with `policy` alone, or else with that of `access`."""

    async def look() -> list[Finding]:
        desk = Desk(policies=None if policy is None else (policy,), relay_domains=("example.com",))

        def stranger(_listener: str, ip: str) -> MemoryTalk:
            return MemoryTalk(desk.terms(), ip)

        around = Around(config_of(access or DOMAINS), no_dns, ManualClock(), ("127.0.0.1:9",), stranger, no_proof)
        return [finding async for finding in check_relay(around)]

    return asyncio.run(look())


def test_the_default_is_no_open_relay() -> None:
    (found,) = findings()
    assert found.level is Level.OK
    assert "all 80 ways" in found.what
    assert "Relay access denied" in found.what


@pytest.mark.parametrize(
    ("opened", "name"),
    [
        (lambda ctx: ctx.recipient.domain == ELSEWHERE, "a plain stranger"),
        (lambda ctx: ctx.sender.is_null, "the null sender"),
        (lambda ctx: ctx.sender.domain == "example.com", "a sender of our domain"),
        (lambda ctx: "%" in ctx.recipient.local, "percent hack at our domain"),
        (lambda ctx: "!" in ctx.recipient.local, "bang path at our domain"),
        (lambda ctx: "@" in ctx.recipient.local, "quoted address at our domain"),
        (lambda ctx: ctx.recipient.domain == "[192.0.2.1]", "an address literal of others"),
    ],
)
def test_each_hole_is_found(opened: Callable[[RcptContext], bool], name: str) -> None:
    def hole(ctx: RcptContext) -> Answer:
        return Accept("a hole") if opened(ctx) else Reject(Reply(554, "5.7.1", "no"), "no")

    (found,) = findings(hole)
    assert found.level is Level.PROBLEM
    assert found.what.startswith(name)
    assert "access.relay_networks" in found.mend


def test_who_is_not_even_greeted_cannot_relay() -> None:
    async def look() -> list[Finding]:
        desk = Desk()
        terms = desk.terms(enter=lambda _guest: Reply(554, "5.7.1", "not you"))
        around = Around(config_of(), no_dns, ManualClock(), (), lambda _name, ip: MemoryTalk(terms, ip), no_proof)
        return [finding async for finding in check_relay(around)]

    (found,) = asyncio.run(look())
    assert (found.level, found.what) == (Level.OK, "strangers are not even greeted: 554 5.7.1 not you")


def test_a_session_that_answers_nothing_is_told() -> None:
    async def look() -> list[Finding]:
        desk = Desk()

        def stranger(_listener: str, ip: str) -> MemoryTalk:
            talk = MemoryTalk(desk.terms(), ip)
            talk.close()
            return talk

        around = Around(config_of(), no_dns, ManualClock(), (), stranger, no_proof)
        return [finding async for finding in check_relay(around)]

    (found,) = asyncio.run(look())
    assert found.level is Level.UNKNOWN


def test_networks_that_have_all_addresses_are_told() -> None:
    networks = ", ".join(f'"{ip}/{128 if ":" in ip else 32}"' for ip in STRANGERS)
    (found,) = findings(access=f"[access]\nrelay_networks = [{networks}]\n")
    assert (found.level, found.what) == (Level.PROBLEM, "every address may relay")


@pytest.mark.parametrize("halves", [("0.0.0.0/1", "128.0.0.0/1"), ("2000::/4", "3000::/4")])
def test_half_of_the_internet_is_nobodys_own(halves: tuple[str, str]) -> None:
    """Nobody can relay from some address that was tried, and half of the world from all others."""
    networks = ", ".join(f'"{network}"' for network in halves)
    told = findings(access=f"[access]\nrelay_networks = [{networks}]\n")
    assert [one.level for one in told[:2]] == [Level.PROBLEM] * 2
    assert all(network in one.what for network, one in zip(halves, told, strict=False))


def test_every_trick_aims_elsewhere_and_none_is_there_twice() -> None:
    all_of_them = list(tricks("relay.example.com", "example.com", "[192.0.2.1]"))
    assert len({(trick.sender, trick.recipient) for trick in all_of_them}) == len(all_of_them)
    strange = [trick for trick in all_of_them if ELSEWHERE not in trick.recipient]
    assert {trick.name.removesuffix(", as one of us") for trick in strange} == {
        "an address literal of others",
        "an address literal without brackets",
    }


def test_the_configurations_own_networks_are_left_alone() -> None:
    """A stranger's address that may relay is passed over for the next one."""
    (found,) = findings(access=f'[access]\nrelay_networks = ["{STRANGERS[0]}/32"]\n')
    assert found.level is Level.OK
