"""Webhooks against a real receiver that refuses, hangs and dies: nothing that is on the disk is lost or reordered."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest

from postroad.model.records import MessageRemoved
from postroad.net.clock import Clock, SystemClock
from postroad.net.http.fetching import Answer
from postroad.net.http.poster import Poster, pause_after
from postroad.observe.formats.jsonlines import make_json
from postroad.observe.settings import key_of
from postroad.observe.webhook import WebhookOutlet, WebhookSender, WebhookTerms, body_of, headers_of
from postroad.observe.webhookspool import Batch, WebhookSpool
from tests.support.clock import ManualClock
from tests.support.hook import Hook
from tests.support.records import AT

KEY = b"0123456789abcdef"


def removed(*numbers: int) -> list[MessageRemoved]:
    return [MessageRemoved(at=AT, id=str(number)) for number in numbers]


def until(holds: Callable[[], object], what: str = "") -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def make(
    folder: Path,
    hook: Hook,
    *,
    limit: int = 1 << 20,
    timeout: float = 10.0,
    expire: float = 3600.0,
    clock: Clock | None = None,
) -> WebhookOutlet:
    clock = clock or SystemClock()
    spool = WebhookSpool(folder, limit=limit)
    poster = Poster(hook.url, timeout=timeout, agent="postroad/test")
    sender = WebhookSender(spool, poster, clock, WebhookTerms(hook.key, 1.0, expire))
    return WebhookOutlet("audit", make_json(), spool, sender, clock, hostname="relay.example.com")


def waiting(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.glob("*.json"))


def test_the_signature_is_that_of_the_specification() -> None:
    # The sample of the Standard Webhooks specification.
    headers = headers_of(
        "msg_loFOjxBNrRLzqYUf",
        b'{"event_type":"ping","data":{"success":true}}',
        key=key_of("whsec_plJ3nmyCDGBKInavdOK15jsl"),
        now=1731705121_000_000,
    )
    assert headers["webhook-signature"] == "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="
    assert headers["webhook-timestamp"] == "1731705121"
    assert "webhook-signature" not in headers_of("x", b"{}", key=b"", now=0)
    assert key_of("plain") == b"plain"
    with pytest.raises(ValueError, match="."):
        key_of("whsec_!")


def test_a_body_is_one_json_object() -> None:
    lines = [make_json()(record) for record in removed(1, 2)]
    body = json.loads(body_of("b1", "audit", "relay.example.com", lines))
    assert [record["id"] for record in body.pop("records")] == ["1", "2"]
    assert body == {"batch": "b1", "sink": "audit", "hostname": "relay.example.com"}


def test_pauses_grow_to_their_ceiling() -> None:
    refusal = Answer(500)
    assert [pause_after(tries, refusal, longest=300) for tries in range(1, 11)] == [
        *(1, 2, 4, 8, 16, 32, 64, 128, 256),
        300,
    ]
    assert pause_after(10_000, refusal, longest=300) == 300
    assert pause_after(1, Answer(429, retry_after=60), longest=300) == 60
    assert pause_after(8, Answer(429, retry_after=60), longest=300) == 128
    assert pause_after(1, Answer(503, retry_after=1e9), longest=300) == 300


def test_batches_arrive_once_and_in_order(tmp_path: Path) -> None:
    with Hook(KEY) as hook:
        out = make(tmp_path, hook)
        out.idle()
        for number in range(20):
            assert out.write(removed(number, number + 100)) == 2
        until(lambda: len(hook.deliveries) == 20)
        out.close()
        assert [record["id"] for record in hook.records()] == [str(n + k) for n in range(20) for k in (0, 100)]
        assert len(set(hook.attempts)) == len(hook.attempts)
    assert waiting(tmp_path) == []
    assert out.lost == 0


@pytest.mark.parametrize("status", [500, 503, 404, 301])
def test_a_refusal_is_tried_again_under_the_same_id(tmp_path: Path, status: int) -> None:
    with Hook(KEY) as hook:
        hook.status = status
        hook.headers = {"Location": hook.url} if status == 301 else {}
        out = make(tmp_path, hook)
        assert out.write(removed(1)) == 1
        assert out.write(removed(2)) == 1
        until(lambda: len(hook.attempts) >= 2)
        assert f"HTTP {status}" in out.fault
        assert len(set(hook.attempts)) == 1
        hook.status = 200
        until(lambda: len(hook.deliveries) == 2)
        out.close()
        assert [record["id"] for record in hook.records()] == ["1", "2"]
        assert hook.deliveries[0].attempt > 1
    assert out.fault == ""


def test_a_receiver_that_hangs_is_left_after_the_time_out(tmp_path: Path) -> None:
    with Hook(KEY) as hook:
        hook.hang = True
        out = make(tmp_path, hook, timeout=0.2)
        assert out.write(removed(1)) == 1
        until(lambda: out.fault == "no answer within 0.2s")
        hook.hang = False
        until(lambda: len(hook.deliveries) == 1)
        out.close()


def test_a_receiver_that_dies_and_comes_back(tmp_path: Path) -> None:
    with Hook(KEY) as hook:
        out = make(tmp_path, hook)
        assert out.write(removed(1)) == 1
        until(lambda: len(hook.deliveries) == 1)
        hook.stop()
        for number in range(2, 6):
            assert out.write(removed(number)) == 1
        until(lambda: out.fault)
        hook.start()
        until(lambda: len(hook.deliveries) == 5)
        out.close()
        assert [record["id"] for record in hook.records()] == list("12345")


def test_what_waits_is_sent_by_the_next_run_under_its_ids(tmp_path: Path) -> None:
    with Hook(KEY) as hook:
        hook.status = 500
        out = make(tmp_path, hook)
        for number in range(3):
            out.write(removed(number))
        until(lambda: hook.attempts)
        out.close()
        names = waiting(tmp_path)
        assert len(names) == 3
        (tmp_path / "0000-half.new").write_bytes(b"{")
        hook.status = 200
        again = make(tmp_path, hook)
        again.idle()
        assert again.write(removed(3)) == 1
        until(lambda: len(hook.deliveries) == 4)
        again.close()
        assert [delivery.id for delivery in hook.deliveries[:3]] == [name.partition(".")[0] for name in names]
        assert [record["id"] for record in hook.records()] == list("0123")
    assert [file.name for file in tmp_path.iterdir()] == ["lock"]


def test_a_hanging_receiver_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with Hook(KEY) as hook:
        hook.hang = True
        out = make(tmp_path, hook, timeout=300)
        out.write(removed(1))
        until(lambda: hook.attempts)
        begun = time.monotonic()
        out.close()
        assert time.monotonic() - begun < 20
        assert len(waiting(tmp_path)) == 1


def test_the_spool_is_bounded(tmp_path: Path) -> None:
    with Hook(KEY) as hook:
        hook.status = 500
        out = make(tmp_path, hook, limit=1000)
        kept = 0
        while out.write(removed(kept)):
            kept += 1
        assert "the spool is full" in out.fault
        assert 1 < kept < 10
        assert sum((tmp_path / name).stat().st_size for name in waiting(tmp_path)) <= 1000
        hook.status = 200
        until(lambda: len(hook.deliveries) == kept)
        assert out.write(removed(kept)) == 1
        until(lambda: len(hook.deliveries) == kept + 1)
        out.close()


def test_one_batch_larger_than_the_spool_is_taken(tmp_path: Path) -> None:
    with Hook(KEY) as hook:
        out = make(tmp_path, hook, limit=10)
        assert out.write(removed(1)) == 1
        until(lambda: len(hook.deliveries) == 1)
        out.close()


def test_a_batch_that_is_too_old_is_given_up_and_counted(tmp_path: Path) -> None:
    spool = WebhookSpool(tmp_path, limit=1 << 20)
    spool.open()
    key, at = spool.next_id(AT)
    spool.put(Batch(key, at, 7, 2), b"{}")
    with Hook(KEY) as hook:
        out = make(tmp_path, hook, expire=60.0)
        out.idle()
        until(lambda: out.lost == 7)
        until(lambda: waiting(tmp_path) == [])
        out.close()
        assert hook.attempts == []


def test_processes_share_a_folder_and_one_of_them_sends(tmp_path: Path) -> None:
    with Hook(KEY) as hook:
        first, second = make(tmp_path, hook), make(tmp_path, hook)
        first.idle()
        second.idle()
        for number in range(10):
            assert first.write(removed(number)) == 1
            assert second.write(removed(number + 100)) == 1
        until(lambda: len(hook.records()) == 20)
        first.close()
        assert second.write(removed(200)) == 1
        second.idle()  # takes over
        until(lambda: len(hook.records()) == 21)
        second.close()
        assert len(set(hook.attempts)) == len(hook.attempts) == 21
        assert second.fault == ""
    assert waiting(tmp_path) == []


def test_processes_share_the_bound(tmp_path: Path) -> None:
    with Hook(KEY) as hook:
        hook.status = 500
        first, second = make(tmp_path, hook, limit=1000), make(tmp_path, hook, limit=1000)
        kept = 0
        while first.write(removed(kept)):
            kept += 1
        second.idle()
        second.idle()
        assert second.write(removed(kept)) == 0
        assert "the spool is full" in second.fault
        first.close()
        second.close()


def test_what_a_crash_left_half_written_is_swept_and_what_another_process_writes_is_not(tmp_path: Path) -> None:
    stale, fresh = f"{AT - 61_000_000:016x}-aa.new", f"{AT - 1_000_000:016x}-bb.new"
    for name in (stale, fresh):
        (tmp_path / name).write_bytes(b"{")
    spool = WebhookSpool(tmp_path, limit=1000)
    spool.open()
    assert spool.claim(AT)
    spool.rescan()
    assert spool.first() is None
    spool.release()
    assert sorted(file.name for file in tmp_path.iterdir()) == [fresh, "lock"]


class Busy(WebhookSpool):
    """A spool into which somebody puts a batch at the end of each look."""

    putting: Thread | None = None

    def _found(self) -> Iterator[Batch]:
        yield from super()._found()
        if self.putting is not None:
            self.putting.start()
            self.putting.join(0.2)  # it has ended by then, unless it has to wait for the look


def test_a_batch_that_is_put_while_the_folder_is_looked_at_is_not_lost_from_sight(tmp_path: Path) -> None:
    spool = Busy(tmp_path, limit=1000)
    spool.open()
    key, at = spool.next_id(AT)
    batch = Batch(key, at, 1, 2)
    spool.putting = Thread(target=spool.put, args=(batch, b"{}"))
    spool.rescan()
    spool.putting.join(30)
    spool.putting = None
    assert spool.first() == batch


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with Hook(KEY) as hook:
        out = make(tmp_path / "file" / "sink", hook)
        assert out.write(removed(1)) == 0
        assert "the spool cannot be used" in out.fault
        out.close()


def test_a_batch_that_was_removed_by_hand_is_passed_over(tmp_path: Path) -> None:
    with Hook(KEY) as hook:
        hook.status = 500
        out = make(tmp_path, hook)
        out.write(removed(1, 2))
        out.write(removed(3))
        until(lambda: hook.attempts)
        (tmp_path / waiting(tmp_path)[0]).unlink()
        before = len(hook.attempts)
        until(lambda: len(hook.attempts) >= before + 2)  # one may have been on its way when its batch was removed
        hook.status = 200
        until(lambda: hook.deliveries)
        out.close()
        assert [record["id"] for record in hook.records()] == ["3"]


def test_ids_grow_though_the_clock_goes_back(tmp_path: Path) -> None:
    spool = WebhookSpool(tmp_path, limit=1 << 20)
    clock = ManualClock()
    ids = [spool.next_id(clock.now() - number)[0] for number in range(100)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 100
