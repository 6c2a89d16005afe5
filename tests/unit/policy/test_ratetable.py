"""The table of accounts beside a naive reference: every instant in a list, counted anew for each question."""

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroad.model.counts import STEPS, Cap, Take, parse_cap
from postroad.model.days import Days
from postroad.policy.rates.table import CELLS, SET_OCTETS, WAYS, Table

NOW = 1_700_000_000_000_000
HOUR = 3_600_000_000
SECOND = 1_000_000


def table(sets: int = 64) -> Table:
    return Table(memoryview(bytearray(sets * SET_OCTETS)))


class Naive:
    """What was taken of one account: instants and amounts."""

    def __init__(self, cap: Cap) -> None:
        self.cap = cap
        self.taken: list[tuple[int, int]] = []

    def used(self, now: int) -> int:
        return sum(amount for at, amount in self.taken if now < self.cap.ends(self.cap.bucket(at)))

    def strictly(self, now: int) -> int:
        """What was taken in the period that ends now."""
        return sum(amount for at, amount in self.taken if at > now - self.cap.period)


CAPS = st.sampled_from(["5/10s", "7/1m", "100/1h", "3/1s", "20/day", "50/24h"])


@given(
    st.lists(CAPS, min_size=1, max_size=3, unique=True),
    st.lists(
        st.tuples(st.integers(0, 40 * HOUR // 10), st.integers(1, 9), st.booleans(), st.integers(0, 3)), max_size=60
    ),
)
@settings(max_examples=150, deadline=None)
def test_a_question_is_answered_as_by_a_list_of_all_instants(
    texts: list[str], questions: list[tuple[int, int, bool, int]]
) -> None:
    caps = [parse_cap(text) for text in texts]
    tested, now = table(), NOW
    naive = {(cap.label, who): Naive(cap) for cap in caps for who in range(2)}
    last: tuple[list[Take], int, list[Naive]] | None = None
    for pause, amount, is_soft, who in questions:
        now += pause // (1 + who * 977)
        if who == 3 and last is not None:  # the last one did not come to anything
            takes, at, accounts = last
            tested.give_back(takes, at, now)
            for account, take in zip(accounts, takes, strict=True):
                account.taken.remove((at, take.amount))
            last = None
            continue
        who %= 2
        takes = [Take(f"{cap.label}\n{who}", cap, amount, is_soft and place == 0) for place, cap in enumerate(caps)]
        accounts = [naive[cap.label, who] for cap in caps]
        full = [one.used(now) + amount > one.cap.count for one in accounts]
        over = tested.take(takes, now)
        assert [one.take for one in over] == [take for take, is_full in zip(takes, full, strict=True) if is_full]
        for one in over:
            account = naive[one.take.cap.label, who]
            assert one.used == account.used(now)
            if one.opens:  # there is room then, and no earlier
                assert account.used(one.opens) + amount <= one.take.cap.count
                assert account.used(one.opens - 1) + amount > one.take.cap.count
            else:
                assert amount > one.take.cap.count
        if any(not one.take.is_soft for one in over):
            continue
        took = [(take, one) for take, one, is_full in zip(takes, accounts, full, strict=True) if not is_full]
        for take, account in took:
            account.taken.append((now, take.amount))
        for account in accounts:
            assert not account.cap.period or account.strictly(now) <= account.cap.count
        last = [take for take, _ in took], now, [account for _, account in took]


@given(st.lists(st.integers(0, 10 * SECOND), max_size=80), st.integers(1, 6))
@settings(deadline=None)
def test_no_period_ever_has_more_than_the_cap(pauses: list[int], count: int) -> None:
    cap, tested, now = Cap(count, 10 * SECOND, "10s"), table(), NOW
    taken: list[int] = []
    for pause in pauses:
        now += pause
        if not tested.take([Take("a", cap)], now):
            taken.append(now)
    assert all(later - first >= 10 * SECOND for first, later in zip(taken, taken[count:], strict=False))


def test_a_used_up_cap_is_whole_again_after_a_period_and_one_step() -> None:
    cap, tested = parse_cap("100/1h"), table()
    assert not tested.take([Take("a", cap, 100)], NOW)
    assert tested.take([Take("a", cap)], NOW + HOUR - 1)
    assert not tested.take([Take("a", cap, 100)], NOW + HOUR + HOUR // STEPS)


def test_nothing_is_counted_for_what_another_limit_refuses() -> None:
    tested, wide, narrow = table(), parse_cap("10/1h"), parse_cap("1/1h")
    both = [Take("wide", wide), Take("narrow", narrow)]
    assert not tested.take(both, NOW)
    for _ in range(20):
        assert [one.take.account for one in tested.take(both, NOW)] == ["narrow"]
    assert not tested.take([Take("wide", wide, 9)], NOW)


def test_a_soft_one_is_told_and_the_others_are_counted() -> None:
    tested, cap = table(), parse_cap("1/1h")
    takes = [Take("a", cap, 1, is_soft=True), Take("b", parse_cap("2/1h"))]
    assert not tested.take(takes, NOW)
    assert [one.take.account for one in tested.take(takes, NOW)] == ["a"]
    assert {one.take.account for one in tested.take(takes, NOW)} == {"a", "b"}


def test_looking_counts_nothing() -> None:
    tested, cap = table(), parse_cap("2/1h")
    for _ in range(5):
        assert not tested.take([Take("a", cap, 2, is_look=True)], NOW)
    assert tested.take([Take("a", cap, 3, is_look=True)], NOW)


def test_it_is_news_once_until_there_is_room_again() -> None:
    tested, cap = table(), parse_cap("1/1h")
    tested.take([Take("a", cap)], NOW)
    first, second = tested.take([Take("a", cap)], NOW + 1)[0], tested.take([Take("a", cap)], NOW + 2)[0]
    assert first.is_news
    assert not second.is_news
    tested.take([Take("a", cap)], first.opens)
    assert tested.take([Take("a", cap)], first.opens + 1)[0].is_news


def test_those_that_matter_least_make_room() -> None:
    tested, cap = table(sets=1), parse_cap("100/1h")
    tested.take([Take("talker", cap, 100)], NOW)
    for number in range(WAYS * 20):
        assert not tested.take([Take(f"other {number}", cap)], NOW)
    assert tested.take([Take("talker", cap)], NOW)
    assert len(list(tested.kept(0, NOW))) == WAYS


def test_accounts_that_are_empty_go_first() -> None:
    tested, hour, second = table(sets=1), parse_cap("100/1h"), parse_cap("100/1s")
    for number in range(WAYS // 2):
        tested.take([Take(f"short {number}", second, 100)], NOW)
        tested.take([Take(f"long {number}", hour, 1)], NOW)
    for number in range(WAYS // 2):
        tested.take([Take(f"new {number}", hour, 1)], NOW + 2 * SECOND)
    names = {one.account for one in tested.kept(0, NOW + 2 * SECOND)}
    assert names == {f"{kind} {number}" for kind in ("long", "new") for number in range(WAYS // 2)}


def test_the_accounts_of_one_question_never_drive_one_another_out() -> None:
    tested, cap = table(sets=1), parse_cap("2/1h")
    takes = [Take(f"a{number}", cap) for number in range(WAYS)]
    for number in range(WAYS):
        tested.take([Take(f"before {number}", cap, 2)], NOW)
    tested.take(takes, NOW)
    assert {one.account for one in tested.kept(0, NOW)} == {take.account for take in takes}


@pytest.mark.parametrize("back", [HOUR // 30, HOUR // 2, 3 * HOUR, 400 * 24 * HOUR])
def test_a_clock_set_back_frees_nothing_early_and_all_in_the_end(back: int) -> None:
    cap, tested = parse_cap("10/1h"), table()
    tested.take([Take("a", cap, 10)], NOW)
    then = NOW - back
    assert tested.take([Take("a", cap)], then)
    waited = next(hours for hours in range(1, 6) if not tested.take([Take("a", cap)], then + hours * HOUR))
    assert waited <= 3


def test_what_is_kept_is_counted_again() -> None:
    old, new, cap, day = table(), table(8), parse_cap("10/1h"), parse_cap("5/day")
    old.take([Take("rate\n1h\nbob", cap, 7), Take("rate\nday\nbob", day, 5)], NOW)
    old.take([Take("rate\n1h\nbob", cap, 2)], NOW + HOUR // 2)
    kept = [one for number in range(old.sets) for one in old.kept(number, NOW + HOUR // 2)]
    for one in kept:
        new.restore(one, NOW + HOUR // 2)
        new.restore(one, NOW + HOUR // 2)
    assert new.take([Take("rate\nday\nbob", day)], NOW + HOUR // 2)
    assert [one.used for one in new.take([Take("rate\n1h\nbob", cap, 2)], NOW + HOUR // 2)] == [9]
    assert not new.take([Take("rate\n1h\nbob", cap, 8)], NOW + HOUR + HOUR // STEPS)


def test_what_has_passed_since_is_not_told() -> None:
    tested, cap = table(), parse_cap("10/1h")
    tested.take([Take("a", cap, 3)], NOW)
    tested.take([Take("a", cap, 4)], NOW + HOUR // 2)
    instants = [NOW + HOUR // 2 + quarters * HOUR // 4 for quarters in (0, 1, 3, 4, 9)]
    used = [sum(one.used for number in range(tested.sets) for one in tested.kept(number, now)) for now in instants]
    assert used == [7, 7, 4, 4, 0]


def test_accounts_can_be_forgotten_by_name() -> None:
    tested, cap = table(), parse_cap("1/1h")
    tested.take([Take("rate\n1h\nbob", cap), Take("rate\n1h\neve", cap)], NOW)
    assert sum(tested.forget(number, lambda name: name.endswith("bob")) for number in range(tested.sets)) == 1
    assert not tested.take([Take("rate\n1h\nbob", cap)], NOW)
    assert tested.take([Take("rate\n1h\neve", cap)], NOW)


@pytest.mark.parametrize("text", ["", "100", "100/", "0/1h", "-1/1h", "1/0s", "1/500d", "x/1h", "5/week", "1/never"])
def test_other_texts_are_no_cap(text: str) -> None:
    with pytest.raises(ValueError, match="is not a limit"):
        parse_cap(text)


def test_sizes_are_caps_too() -> None:
    assert parse_cap("5MiB / 24h") == Cap(5 << 20, 24 * HOUR, "24h")


@given(st.integers(0, 4_000_000_000), st.sampled_from(["Europe/Berlin", "America/New_York", "UTC", "Asia/Kathmandu"]))
def test_a_day_is_that_of_the_calendar(seconds: int, zone: str) -> None:
    days, now = Days(zone), seconds * SECOND
    number = days.number(now)
    local = datetime.fromtimestamp(seconds, UTC).astimezone(ZoneInfo(zone))
    assert number == local.toordinal()
    assert days.number(days.end(number) - 1) == number
    assert days.number(days.end(number)) == number + 1
    edges = [days.end(number + step) for step in range(4)]
    assert all(22 * HOUR < later - first < 26 * HOUR for first, later in pairwise(edges))


def test_a_quota_of_a_day_ends_at_midnight_in_its_zone() -> None:
    cap, tested = parse_cap("1/day", Days("Europe/Berlin")), table()
    noon = round(datetime(2026, 3, 28, 12, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()) * SECOND
    midnight = round(datetime(2026, 3, 29, 0, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()) * SECOND
    assert not tested.take([Take("a", cap)], noon)
    (over,) = tested.take([Take("a", cap)], midnight - 1)
    assert over.opens == midnight
    assert not tested.take([Take("a", cap)], midnight)
    assert tested.take([Take("a", cap)], midnight + 22 * HOUR)  # a day of 23 hours
    assert not tested.take([Take("a", cap)], midnight + 23 * HOUR)


def test_a_zone_that_is_unknown_is_no_zone() -> None:
    with pytest.raises(ValueError, match="not a time zone"):
        Days("Mars/Olympus")


def test_a_process_that_dies_between_two_words_leaves_a_sound_table() -> None:
    """Every state that a take passes through can be gone on from."""
    memory = bytearray(SET_OCTETS)
    cap = parse_cap("10/1h")
    states: list[bytes] = []

    class Tracing:
        def lock(self, sets: object) -> None:
            assert sets

        def unlock(self) -> None:
            states.append(bytes(memory))

    tested = Table(memoryview(memory), Tracing())
    for step in range(6):
        tested.take([Take("a", cap), Take(f"b{step}", cap)], NOW + step * HOUR // 4)
    for before, after in pairwise(states):
        for place in range(0, SET_OCTETS, 8):
            if before[place : place + 8] == after[place : place + 8]:
                continue
            torn = bytearray(before)
            torn[place : place + 8] = after[place : place + 8]  # this word was written, and no other
            one = Table(memoryview(torn))
            assert not one.take([Take("a", cap)], NOW + 2 * HOUR)
            assert all(0 <= kept.used <= 10 for kept in one.kept(0, NOW + 2 * HOUR))
    assert CELLS == STEPS + 1
