"""The chain: first verdict wins; a broken or slow policy defers and is reported."""

import asyncio
import inspect

from postroad.model.records import PolicyFaulted, Record
from postroad.model.reply import Reply
from postroad.policy.chain import Chain, Policy
from postroad.policy.verdict import Accept, Defer, Reject, Verdict

NO = Reject(Reply(550, "5.7.1", "no"), "no")


def chain(*policies: Policy[int], records: list[Record] | None = None) -> Chain[int]:
    return Chain[int](
        "rcpt", policies, timeout=0.05, emit=(records if records is not None else []).append, now=lambda: 1
    )


def silent(_: int) -> Verdict | None:
    return None


def yes(_: int) -> Verdict | None:
    return Accept("yes")


def no(_: int) -> Verdict | None:
    return NO


def broken(_: int) -> Verdict | None:
    raise RuntimeError("boom")


async def late_no(_: int) -> Verdict | None:
    await asyncio.sleep(0)
    return NO


async def late_silent(_: int) -> Verdict | None:
    await asyncio.sleep(0)
    return None


async def endless(_: int) -> Verdict | None:
    await asyncio.sleep(60)
    return Accept("never")


async def late_broken(_: int) -> Verdict | None:
    raise RuntimeError("late boom")


def test_first_verdict_wins_without_waiting() -> None:
    assert chain(silent, no, yes).decide(0, []) == NO
    assert chain(yes, no).decide(0, []) == Accept("yes")
    assert chain(silent).decide(0, []) is None


async def test_waiting_policies_keep_their_order() -> None:
    answer = chain(silent, late_silent, late_no, yes).decide(0, [])
    assert inspect.isawaitable(answer)
    assert await answer == NO
    answer = chain(late_silent, yes).decide(0, [])
    assert inspect.isawaitable(answer)
    assert await answer == Accept("yes")


def test_a_broken_policy_defers() -> None:
    records: list[Record] = []
    verdict = chain(broken, yes, records=records).decide(0, [])
    assert isinstance(verdict, Defer)
    assert "boom" not in verdict.reply.text
    assert [type(record) for record in records] == [PolicyFaulted]


async def test_a_slow_or_late_broken_policy_defers() -> None:
    for policy in (endless, late_broken):
        records: list[Record] = []
        answer = chain(policy, yes, records=records).decide(0, [])
        assert inspect.isawaitable(answer)
        assert isinstance(await answer, Defer)
        assert isinstance(records[0], PolicyFaulted)
        assert records[0].policy == policy.__name__
