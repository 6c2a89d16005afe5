"""The soak's judgement: every broken promise is found, and what a death explains is none."""

import pytest

from tests.soak.account import Deaths, Sent, Taken, judge

NOTHING: dict[tuple[str, str], list[float]] = {}
ACCEPTED = ["100.0 D n1", "100.1 A n1 ID1 a@calm.example"]
ARRIVED = ["100.5 T n1 ID1 a@calm.example", "100.6 R n1 a@calm.example"]
AGAIN = ["110.5 T n1 ID1 a@calm.example", "110.6 R n1 a@calm.example"]


def sent(*notes: str) -> Sent:
    found = Sent()
    found.read(notes)
    return found


def taken(*notes: str, sink: str = "calm") -> Taken:
    found = Taken()
    found.read(sink, notes)
    return found


def faults(one: Sent, other: Taken, deaths: Deaths | None = None) -> list[str]:
    return judge(one, other, deaths or Deaths(), NOTHING).faults


def test_what_was_accepted_and_arrived_once_is_right() -> None:
    assert faults(sent(*ACCEPTED), taken(*ARRIVED)) == []


def test_a_loss_is_found() -> None:
    assert faults(sent(*ACCEPTED), taken()) == ["1 accepted, and never arrived: n1 a@calm.example id ID1"]


def test_one_recipient_of_several_that_is_lost_is_found() -> None:
    both = ["100.0 D n1", "100.1 A n1 ID1 a@calm.example b@calm.example"]
    assert faults(sent(*both), taken(*ARRIVED)) == ["1 accepted, and never arrived: n1 b@calm.example id ID1"]


def test_a_refused_recipient_is_to_be_reported() -> None:
    accepted = sent("100.0 D n1", "100.1 A n1 ID1 nobody@calm.example")
    assert faults(accepted, taken()) == ["1 accepted, and never arrived: n1 nobody@calm.example id ID1"]
    assert faults(accepted, taken("101.0 B n1 ID2 soak@back.example")) == []


def test_what_nobody_finished_or_was_refused_must_not_arrive() -> None:
    assert faults(sent(), taken(*ARRIVED)) == ["1 arrived without having been sent to its end: n1"]
    refused = sent("100.0 D n1", "100.1 X n1 452 4.3.1 full")
    found = faults(refused, taken(*ARRIVED), Deaths(full=(99.0, 101.0)))
    assert found == ["1 arrived although it was refused: n1"]


def test_other_octets_and_another_queue_id_are_found() -> None:
    mangled = taken(*ARRIVED, "100.5 M n1 ID1")
    assert faults(sent(*ACCEPTED), mangled) == ["1 octets changed on the way: n1 ID1"]
    other = taken("100.5 T n1 ID9 a@calm.example", "100.6 R n1 a@calm.example")
    assert faults(sent(*ACCEPTED), other) == ["1 arrived under another queue id than the 250 said: n1: ID9"]


def test_a_connection_that_ends_is_no_fault_but_silence_is() -> None:
    assert faults(sent("100.0 D n1", "101.0 U n1 ConnectionResetError"), taken()) == []
    assert faults(sent("100.0 D n1", "160.0 U n1 TimeoutError"), taken()) == [
        "1 got no reply in a minute, nor an end of the connection: n1"
    ]


@pytest.mark.parametrize(
    ("text", "deaths", "is_right"),
    [
        ("452 4.3.1 full", Deaths(), False),
        ("452 4.3.1 full", Deaths(full=(99.0, 101.0)), True),
        ("452 4.3.1 full", Deaths(full=(40.0, 50.0)), False),
        ("421 4.3.2 down", Deaths(drains=[(99.0, 101.0)]), True),
        ("421 4.3.2 down", Deaths(drains=[(40.0, 50.0)]), False),
        ("550 5.7.1 no", Deaths(full=(99.0, 101.0), drains=[(99.0, 101.0)]), False),
    ],
)
def test_refusals_need_a_reason(text: str, deaths: Deaths, is_right: bool) -> None:
    assert (faults(sent(f"100.0 X n1 {text}"), taken(), deaths) == []) is is_right


@pytest.mark.parametrize(
    ("notes", "deaths", "reason"),
    [
        ((ARRIVED[0], *AGAIN), Deaths(), "no reply"),
        (
            (ARRIVED[0], "105.6 R n1 a@calm.example", *AGAIN),
            Deaths(),
            "the reply came after the relay had stopped waiting",
        ),
        ((*ARRIVED, *AGAIN), Deaths(sinks=[(100.9, "calm")]), "next hop died with the reply"),
        ((*ARRIVED, *AGAIN), Deaths(relay=[101.0]), "relay died before it was settled"),
        (
            (*ARRIVED, *AGAIN),
            Deaths(relay=[105.0], full=(99.0, 106.0)),
            "relay died while the full disk took no outcome",
        ),
    ],
)
def test_a_lost_reply_explains_a_second_delivery(notes: tuple[str, ...], deaths: Deaths, reason: str) -> None:
    verdict = judge(sent(*ACCEPTED), taken(*notes), deaths, NOTHING)
    assert verdict.faults == []
    assert verdict.reasons == {reason: 1}


@pytest.mark.parametrize(
    "deaths",
    [
        Deaths(),
        Deaths(sinks=[(100.9, "rude")]),
        Deaths(sinks=[(100.2, "calm")]),
        Deaths(relay=[100.2, 104.0]),
        Deaths(drains=[(100.0, 105.0)]),
    ],
)
def test_a_second_delivery_without_a_reason_is_found(deaths: Deaths) -> None:
    found = faults(sent(*ACCEPTED), taken(*ARRIVED, *AGAIN), deaths)
    assert len(found) == 1
    assert found[0].startswith("1 came again without a lost reply: n1 a@calm.example id ID1")


def test_nothing_explains_a_second_delivery_of_what_was_settled() -> None:
    settled = {("ID1", "a@calm.example"): [100.7]}
    verdict = judge(sent(*ACCEPTED), taken(*ARRIVED, *AGAIN), Deaths(relay=[101.0]), settled)
    assert "it was settled before" in verdict.faults[0]


def test_a_second_delivery_by_another_next_hop_is_seen() -> None:
    both = taken(*ARRIVED)
    both.read("moody", AGAIN)
    assert len(faults(sent(*ACCEPTED), both)) == 1
