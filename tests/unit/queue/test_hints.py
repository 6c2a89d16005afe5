"""When peers want us to come back."""

import pytest

from postroad.model.reply import Reply
from postroad.queue.hints import GREYLIST_TRIES, hint_of, is_greylisting

SECOND = 1_000_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Greylisted, please try again in 300 seconds", 300),
        ("greylisted for 5 minutes, try again later", 300),
        ("Greylisting in action, please come back in 00:04:59", 299),
        ("Try again after 2 hours.", 7200),
        ("Too much mail; wait 90s and retry", 90),
        ("try again in 5min", 300),
        ("retry in (10) minutes", 600),
        ("try again later", 0),
        ("try again in 5", 0),
        ("mailbox over quota in 5 minutes", 0),
        ("try again in 12345678 seconds", 0),
        ("try again in 1:2:3:4", 0),
        ("try again in \u0663 seconds", 0),
        ("", 0),
    ],
)
def test_hints(text: str, seconds: int) -> None:
    assert hint_of(text) == seconds * SECOND


@pytest.mark.parametrize(
    ("code", "enhanced", "text", "attempts", "grey"),
    [
        (450, "4.2.0", "Greylisted", 1, True),
        (451, "4.7.1", "Graylisting in action", GREYLIST_TRIES, True),
        (451, "4.7.1", "Greylisting", GREYLIST_TRIES + 1, False),
        (451, "4.7.1", "try later", 1, True),
        (451, "4.7.1", "try later", 2, False),
        (450, "4.2.0", "mailbox busy", 1, False),
        (421, "4.7.1", "greylist", 1, False),
        (451, "4.3.0", "greylist", 1, False),
    ],
)
def test_greylisting(code: int, enhanced: str, text: str, attempts: int, *, grey: bool) -> None:
    assert is_greylisting(Reply(code, enhanced, text), attempts) is grey


def test_long_replies_are_read_no_further_than_need_be() -> None:
    for text in ("again in " * 100_000, "9" * 1_000_000 + " again", "in 5 " * 200_000):
        assert hint_of(text) == 0
