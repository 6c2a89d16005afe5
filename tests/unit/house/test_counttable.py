"""The shared table with real processes: exact between them, and never stopped by one that dies or stands still."""

import os
import signal
from collections.abc import Callable

from postroad.house.counting.table import table_of
from postroad.model.counts import Take, parse_cap
from postroad.policy.rates.table import Table

NOW = 1_700_000_000_000_000


def child(work: Callable[[], int]) -> int:
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = work()
        finally:
            os._exit(code)
    return pid


def code_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_processes_share_a_cap_exactly() -> None:
    table, cap = table_of(100, is_shared=True), parse_cap("100/1h")

    def work() -> int:
        takes = [Take("a", cap), Take("b", parse_cap("1000/1h"))]
        return sum(not table.take(takes, NOW + number) for number in range(120))

    pids = [child(work) for _ in range(4)]
    assert sum(code_of(pid) for pid in pids) == 100
    (all_of_b,) = (one for number in range(table.sets) for one in table.kept(number, NOW) if one.account == "b")
    assert all_of_b.used == 100


def test_what_one_begins_with_is_what_others_left() -> None:
    table, cap = table_of(100, is_shared=True), parse_cap("3/1h")
    assert code_of(child(lambda: len(table.take([Take("a", cap, 3)], NOW)))) == 0
    assert table.take([Take("a", cap)], NOW)


class Stopping:
    """A table whose process stops, or dies, in the middle of a take."""

    def __init__(self, table: Table, number: signal.Signals) -> None:
        take = table._take

        def stop(*arguments: object) -> object:
            os.kill(os.getpid(), number)
            return take(*arguments)  # type: ignore[arg-type]

        table._take = stop  # type: ignore[method-assign,assignment]
        self.table = table


def test_a_process_that_is_killed_while_it_holds_a_lock_holds_up_nobody() -> None:
    table, cap = table_of(16, is_shared=True), parse_cap("5/1h")
    pid = child(lambda: len(Stopping(table, signal.SIGKILL).table.take([Take("a", cap)], NOW)))
    assert code_of(pid) == -signal.SIGKILL
    assert [len(table.take([Take("a", cap)], NOW)) for _ in range(6)] == [0, 0, 0, 0, 0, 1]


def test_a_process_that_stands_still_with_a_lock_is_gone_past() -> None:
    table, cap = table_of(16, is_shared=True), parse_cap("5/1h")
    pid = child(lambda: len(Stopping(table, signal.SIGSTOP).table.take([Take("a", cap)], NOW)))
    try:
        os.waitpid(pid, os.WUNTRACED)
        assert not table.take([Take("a", cap)], NOW)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
