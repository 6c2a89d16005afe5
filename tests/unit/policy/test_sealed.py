"""The last word of a chain, and what is to be done when a transaction is over."""

import asyncio
from collections.abc import Awaitable

import pytest

from postroad.model.records import PolicyFaulted, Record
from postroad.policy.chain import Chain, Sealed
from postroad.policy.facts import Facts
from postroad.policy.verdict import VERDICTS, Accept, Adjust, Answer, Defer, Discard, Reject, Verdict
from postroad.smtp import replies

REFUSAL = Reject(replies.LOOP, "no")
LATER = Defer(replies.POLICY_ERROR, "not now")
YES = Accept("yes")
HOLD = Adjust("because", hold="because")


def says(answer: Answer | None, *, is_late: bool = False) -> object:
    def policy(_context: str) -> Answer | Awaitable[Answer | None] | None:
        return wait() if is_late else answer

    async def wait() -> Answer | None:
        await asyncio.sleep(0)
        return answer

    return policy


async def asked(
    stage: str, answers: list[object], seal: object, records: list[Record] | None = None
) -> tuple[Verdict | None, list[Adjust]]:
    adjustments: list[Adjust] = []
    emit = (records if records is not None else []).append
    chain = Sealed[str](stage, tuple(answers), (seal,), timeout=5, emit=emit, now=lambda: 0)  # type: ignore[arg-type]
    pending = chain.decide("context", adjustments)
    verdict = pending if pending is None or isinstance(pending, VERDICTS) else await pending
    return verdict, adjustments


@pytest.mark.parametrize("is_late", [False, True])
async def test_what_others_refuse_is_not_asked_for(*, is_late: bool) -> None:
    for answer in (REFUSAL, LATER, Discard("gone")):
        verdict, _ = await asked("rcpt", [says(answer, is_late=is_late)], says(LATER))
        assert verdict == answer
    assert await asked("rcpt", [says(None, is_late=is_late)], says(LATER)) == (None, [])  # nobody takes it


@pytest.mark.parametrize("late", [(False, False), (True, False), (False, True), (True, True)])
async def test_what_others_take_can_still_be_refused(late: tuple[bool, bool]) -> None:
    others, seal = late
    for stage, answer in (("rcpt", YES), ("mail", YES), ("mail", None), ("message", None)):
        ask = [says(HOLD), says(answer, is_late=others)]
        assert await asked(stage, ask, says(None, is_late=seal)) == (answer, [HOLD])
        assert (await asked(stage, ask, says(LATER, is_late=seal)))[0] == LATER
        assert await asked(stage, ask, says(HOLD, is_late=seal)) == (answer, [HOLD, HOLD])


async def test_a_fault_of_the_last_word_defers() -> None:
    def broken(_context: str) -> None:
        raise ZeroDivisionError

    records: list[Record] = []
    verdict, _ = await asked("mail", [], broken, records)
    assert isinstance(verdict, Defer)
    (fault,) = records
    assert isinstance(fault, PolicyFaulted)
    assert (fault.policy, fault.stage) == ("broken", "mail")


def test_a_plain_chain_has_no_last_word() -> None:
    assert not issubclass(Chain, Sealed)


def test_what_is_to_be_done_at_the_end_is_done_once() -> None:
    ground = Facts()
    facts, told = Facts(ground), list[bool]()
    facts.end()
    facts.at_end(told.append)
    facts.at_end(told.append)
    ground.end()
    assert told == []
    facts.end(is_taken=True)
    facts.end()
    assert told == [True, True]
