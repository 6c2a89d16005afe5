"""Messages between two processes: whole, in order, bounded, and over when the other side is."""

import random

from postroad.net.process.link import WAITING, link_pair


def test_messages_arrive_whole_and_in_order() -> None:
    ours, theirs = link_pair()
    dice = random.Random(3)
    sent = [(dice.randrange(256), dice.randbytes(dice.choice((0, 1, 3000, 400_000)))) for _ in range(40)]
    found = []
    for kind, text in sent:
        assert ours.send(kind, text)
        found += theirs.receive()
    while not ours.flush():
        found += theirs.receive()
    found += theirs.receive()
    assert found == sent
    ours.close()
    theirs.close()


def test_what_is_not_taken_waits_up_to_a_bound() -> None:
    ours, theirs = link_pair()
    sent = 0
    while ours.send(1, bytes(1 << 20)):
        sent += 1
        assert sent < 100
    assert sent >= WAITING >> 20
    found = 0
    while not ours.flush():
        found += len(theirs.receive())
    assert found + len(theirs.receive()) == sent
    ours.close()
    theirs.close()


def test_the_end_of_the_other_side_is_noticed() -> None:
    ours, theirs = link_pair()
    assert theirs.send(5, b"last words")
    theirs.close()
    assert ours.receive() == [(5, b"last words")]
    assert not ours.is_open
    assert not ours.send(1)
    ours.close()
