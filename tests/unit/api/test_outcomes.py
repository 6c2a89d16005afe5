"""Outcomes: those of the API's messages are noted and no others; what cannot be written is kept and tried again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from postroad.api.outcomes import Outcomes
from postroad.model.errors import SpoolError
from postroad.model.records import MessageRemoved
from postroad.store.sent import Sent
from tests.support.clock import ManualClock
from tests.support.records import QUEUE_ID, delivered, failed


@pytest.fixture
def sent(tmp_path: Path) -> Iterator[Sent]:
    found = Sent(tmp_path / "api.db")
    found.open()
    found.expect("shop", [(QUEUE_ID, 0)], 0, 1)
    found.accepted(QUEUE_ID)
    yield found
    found.close()


def test_mail_of_others_is_not_noted(sent: Sent) -> None:
    outcomes = Outcomes(sent, ManualClock())
    outcomes(delivered())
    outcomes(MessageRemoved(at=1, id=QUEUE_ID))
    outcomes.flush()
    assert sent.outcomes(QUEUE_ID) == []
    assert sent.waiting(9) == [QUEUE_ID]


def test_what_was_followed_is_followed_after_a_restart_until_it_is_gone(sent: Sent) -> None:
    outcomes = Outcomes(sent, ManualClock())
    outcomes.resume()
    outcomes(failed())
    outcomes.flush()
    (found,) = sent.outcomes(QUEUE_ID)
    assert found.state == "failed"
    assert found.reply == str(failed().reply)
    outcomes(MessageRemoved(at=1, id=QUEUE_ID))
    outcomes(delivered())
    outcomes.close()
    assert [one.state for one in sent.outcomes(QUEUE_ID)] == ["failed"]
    assert sent.waiting(9) == []


def test_what_cannot_be_written_is_kept(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = Outcomes(sent, ManualClock())
    outcomes.follow(QUEUE_ID)
    outcomes(delivered())
    outcomes.unwritten(QUEUE_ID)

    def broken(*_: object) -> None:
        raise SpoolError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(sent, "accepted", broken)
        with pytest.raises(SpoolError):
            outcomes.flush()
        outcomes.close()
    outcomes.flush()
    assert len(sent.outcomes(QUEUE_ID)) == 1
