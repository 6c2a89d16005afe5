"""What the soak reads of logs: counts, deliveries, faults; a line that a kill cut short is none."""

from pathlib import Path

from tests.soak.watch import Watch

DELIVERED = (
    '{"time":"2026-11-26T03:00:00.000Z","record":"RecipientDelivered","at":1500000,"id":"ID1","recipient":"a@b.c"}\n'
)


def watched(folder: Path, *lives: str) -> Watch:
    watch = Watch(folder / "delivered")
    for number, text in enumerate(lives):
        log = folder / f"life-{number}.log"
        log.write_text(text)
        watch.follow(log)
    watch.finish()
    return watch


def test_records_are_counted_over_all_lives(tmp_path: Path) -> None:
    watch = watched(tmp_path, DELIVERED * 2 + DELIVERED[:40], DELIVERED)
    assert watch.counts == {"RecipientDelivered": 3}
    assert watch.faults == []
    assert (tmp_path / "delivered").read_text() == "1.500000 ID1 a@b.c\n" * 3
    assert not list(tmp_path.glob("life-*.log"))


def test_a_traceback_and_a_record_of_a_bug_are_faults_and_their_log_is_kept(tmp_path: Path) -> None:
    bug = '{"time":"","record":"DeliveryFaulted","at":1,"detail":"Traceback"}\n'
    watch = watched(tmp_path, "Traceback (most recent call last):\n", bug, DELIVERED)
    assert watch.faults == ["Traceback (most recent call last):", bug.rstrip()]
    assert len(list(tmp_path.glob("life-*.log"))) == 2


def test_a_process_that_falls_by_itself_is_a_fault(tmp_path: Path) -> None:
    lost = '{{"record":"ProcessLost","at":1,"name":"edge-1","pid":7,"reason":"{}"}}\n'
    crash = lost.format("exit code 1")
    watch = watched(tmp_path, lost.format("ended by SIGKILL") + lost.format("killed: it had been silent") + crash)
    assert watch.faults == [crash.rstrip()]


def test_a_record_can_be_waited_for(tmp_path: Path) -> None:
    watch = Watch(tmp_path / "delivered")
    log = tmp_path / "log"
    log.write_text('{"record":"ConfigReloaded","at":5000000}\n')
    watch.follow(log)
    assert watch.await_record(frozenset({"ConfigReloaded"}), 5.0, 30) == "ConfigReloaded"
    assert watch.await_record(frozenset({"ConfigReloaded"}), 5.1, 0) == ""
    watch.finish()
