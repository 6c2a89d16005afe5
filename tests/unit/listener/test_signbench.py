"""Keys that wait sign beside the event loop, within a time, and not without bound."""

import asyncio
from threading import Event

import pytest

from postroad.listener.signbench import WAITING_LIMIT, Bench
from postroad.model.errors import SigningError


async def test_what_is_given_and_what_goes_wrong_comes_back() -> None:
    def fails() -> bytes:
        raise SigningError("the token is away")

    bench = Bench()
    assert await bench.run(lambda: b"signed") == b"signed"
    with pytest.raises(SigningError, match="the token is away"):
        await bench.run(fails)


async def test_a_token_that_does_not_answer_stops_nobody_for_long() -> None:
    answers = Event()

    def waits() -> bytes:
        answers.wait()
        return b"late"

    bench = Bench(seconds=0.05)
    try:
        runs = [asyncio.create_task(bench.run(waits)) for _ in range(WAITING_LIMIT)]
        found = await asyncio.gather(*runs, return_exceptions=True)
        assert {str(one) for one in found} == {"a key that is kept elsewhere did not sign within 0.05 s"}
        with pytest.raises(SigningError, match=f"{WAITING_LIMIT} messages wait"):
            await bench.run(waits)
    finally:
        answers.set()
    async with asyncio.timeout(30):
        while bench._waiting:
            await asyncio.sleep(0.01)
    assert await Bench().run(waits) == b"late"
