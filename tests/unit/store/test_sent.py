"""What came in by the API: remembered over a restart, forgotten in time, synced when it says so."""

import asyncio
import os
from pathlib import Path

import pytest

from postroad.model.errors import SpoolError
from postroad.store.sent import FEW, Outcome, Sent, SentMessage

A, B, C = "A" * 13, "B" * 13, "C" * 13


def opened(path: Path) -> Sent:
    sent = Sent(path / "api.db")
    sent.open()
    return sent


def test_a_request_is_remembered_with_its_answer(tmp_path: Path) -> None:
    sent = opened(tmp_path)
    num = sent.begin("shop", "t", b"digest", 1000)
    sent.expect("shop", [(A, 0), (B, 1)], num, 1000)
    sent.accepted(B)
    sent.close()
    sent = opened(tmp_path)
    assert sent.unfinished() == [A]
    earlier = sent.earlier("shop", "t", 1000)
    assert earlier is not None
    assert (earlier.num, earlier.digest, earlier.answer, earlier.accepted) == (num, b"digest", None, {1: B})
    sent.finish(num, 202, b"{}")
    assert sent.unfinished() == []
    earlier = sent.earlier("shop", "t", 0)
    assert earlier is not None
    assert (earlier.status, earlier.answer) == (202, b"{}")
    assert sent.earlier("shop", "t", 1001) is None
    assert sent.earlier("shop", "u", 0) is None
    assert sent.earlier("other", "t", 0) is None
    sent.close()


def test_a_token_can_be_used_again_when_it_is_old(tmp_path: Path) -> None:
    sent = opened(tmp_path)
    first = sent.begin("shop", "t", b"1", 1)
    second = sent.begin("shop", "t", b"2", 2)
    assert first != second
    earlier = sent.earlier("shop", "t", 0)
    assert earlier is not None
    assert earlier.digest == b"2"
    sent.close()


def test_messages_and_outcomes(tmp_path: Path) -> None:
    sent = opened(tmp_path)
    sent.expect("shop", [(A, 0)], 0, 5)
    assert sent.message(A) == SentMessage("shop", 5, accepted=False, gone=False)
    assert sent.waiting(9) == []
    sent.accepted(A)
    assert sent.waiting(9) == [A]
    one = Outcome(A, "a@x.example", "delivered", 7, 1, "250 ok")
    sent.note([one], [A])
    sent.note([one], [])
    assert sent.outcomes(A) == [one]
    assert sent.message(A) == SentMessage("shop", 5, accepted=True, gone=True)
    assert sent.waiting(9) == []
    assert sent.message(B) is None
    sent.close()


def test_what_is_old_goes_a_few_at_a_time(tmp_path: Path) -> None:
    sent = opened(tmp_path)
    for number in range(FEW + 10):
        sent.expect("shop", [(f"{number:013}", 0)], sent.begin("shop", f"{number}", b"", number), number)
    sent.note([Outcome(f"{0:013}", "a", "failed", 1, 1, "")], [])
    assert not sent.expire(0, 0)
    assert sent.expire(FEW + 5, FEW + 5)
    assert not sent.expire(FEW + 5, FEW + 5)
    assert sent.message(f"{FEW + 4:013}") is None
    assert sent.message(f"{FEW + 5:013}") is not None
    assert sent.earlier("shop", f"{FEW + 4}", 0) is None
    assert sent.earlier("shop", f"{FEW + 5}", 0) is not None
    assert sent.outcomes(f"{0:013}") == []
    sent.close()


def test_a_failed_step_leaves_nothing_half(tmp_path: Path) -> None:
    sent = opened(tmp_path)
    sent.expect("shop", [(B, 0)], 0, 1)
    with pytest.raises(SpoolError):
        sent.expect("shop", [(A, 0), (B, 1)], 0, 1)
    assert sent.message(A) is None
    sent.expect("shop", [(C, 0)], 0, 1)
    sent.close()
    with pytest.raises(SpoolError, match="not open"):
        sent.message(A)


def test_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "api.db").write_bytes(b"no database at all, but long enough to be looked at" * 20)
    with pytest.raises(SpoolError, match=r"api\.db"):
        opened(tmp_path)


async def test_whoever_waits_for_a_sync_gets_one_that_began_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = opened(tmp_path)
    begun: list[int] = []
    real = os.fdatasync

    def counted(fd: int) -> None:
        begun.append(written[0])
        real(fd)

    written = [0]
    monkeypatch.setattr(os, "fdatasync", counted)

    async def write(number: int) -> None:
        await asyncio.sleep(number % 7 / 1000)
        written[0] += 1
        mine, place = written[0], len(begun)
        await sent.sync()
        assert any(seen >= mine for seen in begun[place:])

    await asyncio.gather(*map(write, range(200)))
    assert len(begun) <= 200
    sent.close()


async def test_a_sync_that_fails_fails_for_all_who_wait_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = opened(tmp_path)

    def broken(fd: int) -> None:
        raise OSError(28, "no space")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", broken)
        found = await asyncio.gather(*(sent.sync() for _ in range(5)), return_exceptions=True)
    assert all(isinstance(one, SpoolError) for one in found)
    await sent.sync()
    await sent.tidy()
    sent.close()
