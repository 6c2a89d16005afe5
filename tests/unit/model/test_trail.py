"""The trail keeps the last attempts, each with what was said, in little room."""

import hypothesis.strategies as st
from hypothesis import given

from postroad.model.trail import KEPT, WORDS_LIMIT, Attempt, attempts_of, extend

WORDS = st.sampled_from(["", "a", "451 4.7.1 greylisted", "tab\tand\nline", "é\udc80"])
ATTEMPTS = st.lists(st.builds(Attempt, st.integers(0, 2**52), WORDS, WORDS, WORDS), max_size=3 * KEPT)


def plain(text: str) -> str:
    return " ".join(text.encode("utf-8", "backslashreplace").decode().split())


@given(ATTEMPTS)
def test_the_last_attempts_come_back(attempts: list[Attempt]) -> None:
    trail = ""
    for attempt in attempts:
        trail = extend(trail, attempt)
    expected = [Attempt(a.at, plain(a.target), plain(a.command), plain(a.reply)) for a in attempts[-KEPT:]]
    assert attempts_of(trail) == expected
    trail.encode()


def test_the_same_answer_again_takes_no_more_than_its_time() -> None:
    first = extend("", Attempt(1_700_000_000_000_000, "mx.example[192.0.2.1]:25", "RCPT TO", "451 4.7.1 greylisted"))
    trail = first
    for number in range(1, KEPT):
        trail = extend(trail, Attempt(1_700_000_000_000_000 + number, *list(_words(first))))
    assert len(trail) == len(first) + (KEPT - 1) * len("\n1700000000000000")


def test_a_long_reply_is_cut() -> None:
    trail = ""
    for number in range(100):
        trail = extend(trail, Attempt(number, "host", "DATA", f"{number} " + "x" * 10_000))
    assert len(trail) < KEPT * (WORDS_LIMIT + 50)


def test_nonsense_is_left_out() -> None:
    assert attempts_of("x\ty\n\n7\ta\tb\tc\n8\n9\tonly one") == [Attempt(7, "a", "b", "c"), Attempt(8, "a", "b", "c")]


def _words(trail: str) -> tuple[str, str, str]:
    one = attempts_of(trail)[0]
    return one.target, one.command, one.reply
