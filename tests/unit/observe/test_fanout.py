"""The fan-out: every sink gets every record, and a broken sink stops nobody."""

from postroad.model.records import MessageRemoved, Record
from postroad.observe.fanout import Fanout
from tests.support.records import AT

FIRST = MessageRemoved(at=AT, id="1")
SECOND = MessageRemoved(at=AT, id="2")


def test_every_sink_gets_every_record_in_order() -> None:
    left: list[Record] = []
    right: list[Record] = []
    emit = Fanout([left.append, right.append])
    emit(FIRST)
    emit(SECOND)
    assert left == right == [FIRST, SECOND]


def test_a_sink_that_raises_is_left_out_and_told_of_once() -> None:
    good: list[Record] = []
    words: list[str] = []
    calls: list[Record] = []

    def broken(record: Record) -> None:
        calls.append(record)
        raise ValueError("no")

    emit = Fanout([broken, good.append], words.append)
    emit(FIRST)
    emit(SECOND)
    assert good == [FIRST, SECOND]
    assert calls == [FIRST]
    assert len(words) == 1
    assert "ValueError: no" in words[0]
