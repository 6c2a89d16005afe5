"""The shared memory: counts of sessions over several places, reaches, metrics that are never read half changed."""

import os
import random
from collections import Counter

import pytest

from postroad.house.processes.board import Board, edge_name, place_of
from postroad.spool.layout import END


@pytest.fixture
def board() -> Board:
    made = Board(4, bytes(16))
    for place in range(4):
        made.begin(place)
    return made


def test_names_and_places() -> None:
    assert [place_of(edge_name(place)) for place in (1, 12)] == [1, 12]


def test_a_reach_is_kept_whole_and_rings(board: Board) -> None:
    assert board.reaches() == {}
    board.reached(1, 0, END)
    board.reached(3, 70_000_000, 5_000_000_000)
    assert board.reaches() == {"edge-1": (0, END), "edge-3": (70_000_000, 5_000_000_000)}
    assert os.eventfd_read(board.bell) == 2
    board.hush()
    board.begin(1)
    assert board.reaches()["edge-1"] == (0, END)  # outlives who showed it


def test_sessions_are_counted_over_all_places(board: Board) -> None:
    assert board.come(1, "192.0.2.1") == (1, 1, 0)
    assert board.come(2, "192.0.2.1") == (2, 2, 0)
    assert board.come(2, "192.0.2.2") == (3, 1, 0)
    assert board.come(3, "192.0.2.1") == (4, 3, 0)
    board.go(2, "192.0.2.1")
    assert board.come(1, "192.0.2.1") == (4, 3, 0)
    board.end(3)
    assert board.come(1, "192.0.2.1") == (4, 3, 0)
    board.begin(1)
    assert board.come(1, "192.0.2.1") == (2, 1, 0)


def test_networks_are_counted_too(board: Board) -> None:
    assert board.come(1, "192.0.2.1", "192.0.2") == (1, 1, 1)
    assert board.come(2, "192.0.2.2", "192.0.2") == (2, 1, 2)
    board.go(1, "192.0.2.1", "192.0.2")
    assert board.come(2, "192.0.2.3", "192.0.2") == (2, 1, 2)


def test_counts_are_exact_whoever_comes_and_goes(board: Board) -> None:
    dice = random.Random(7)
    model: Counter[tuple[int, str]] = Counter()
    names = [f"192.0.2.{number}" for number in range(200)] + [f"2001:db8::{number:x}" for number in range(2000)]
    for _ in range(30_000):
        place, ip = dice.randrange(1, 4), dice.choice(names)
        if model[place, ip] and dice.random() < 0.6:
            board.go(place, ip)
            model[place, ip] -= 1
        else:
            model[place, ip] += 1
            _, same, _ = board.come(place, ip)
            assert same == sum(model[other, ip] for other in (1, 2, 3))
    assert board.sessions() == model.total()


def test_more_addresses_than_there_is_room_for_are_counted_by_each_alone(board: Board) -> None:
    for number in range(60_000):
        _, same, _ = board.come(1, f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        assert same == 1
    assert board.sessions() == 60_000


def test_metrics_are_seen_whole_or_not_at_all(board: Board) -> None:
    assert board.shown(1) == (0, b"")
    board.show(1, b"first")
    first = board.shown(1)
    assert first is not None
    assert first[1] == b"first"
    board.show(1, b"x" * (1 << 20))  # more than there is room for
    assert board.shown(1) == first
    board.show(1, b"second, longer")
    again = board.shown(1)
    assert again is not None
    assert again[0] > first[0]
    assert again[1] == b"second, longer"


def test_flags(board: Board) -> None:
    assert not board.is_full
    board.is_full = True
    board.lacking = 2
    board.unattended = 1 << 59
    assert (board.is_full, board.lacking, board.unattended) == (True, 2, 1 << 59)
    board.ready(2)
    board.beat(2)
    board.ask_to_end("edge-2", 9)
    assert (board.is_ready(2), board.beats(2), board.wanted_end(2)) == (True, 1, 9)
    board.begin(2)
    assert (board.is_ready(2), board.beats(2), board.wanted_end(2)) == (False, 1, 0)
