"""Reverse-paths that only we can have made: there and back, changed on the way, forged, old, and too long."""

import string

from hypothesis import given
from hypothesis import strategies as st

from postroad.mailauth.srs import DAY, Batv, Signer, Srs
from postroad.model.address import Mailbox, parse_mailbox

NOW = 20_000 * DAY
OURS = Srs("fwd.example", Signer((b"one",)), 21)
OTHER = Srs("elsewhere.example", Signer((b"two",)), 21)
BATV = Batv(Signer((b"one",)), 7)
LOCALS = st.text(string.ascii_letters + string.digits + "!#$%&'*+-/=?^_`{|}~", min_size=1, max_size=30)


def turned(found: Mailbox | str | None) -> str:
    """The address, or the words."""
    return found.text if isinstance(found, Mailbox) else str(found)


@given(local=LOCALS, days=st.integers(0, 21), upper=st.booleans())
def test_there_and_back_whatever_became_of_the_case(local: str, days: int, upper: bool) -> None:
    sender = parse_mailbox(f"{local}@sender.example")
    made = OURS.forward(sender, NOW)
    assert made is not None
    assert made.domain == "fwd.example"
    text = made.text.upper() if upper else made.text
    found = OURS.back(parse_mailbox(text), NOW + days * DAY)
    if local[:4].lower() in ("srs0", "srs1"):
        return  # those of others, below
    assert turned(found).lower() == sender.text.lower()


def test_what_another_forwarder_made_goes_back_to_it() -> None:
    first = OTHER.forward(parse_mailbox("ann@sender.example"), NOW)
    assert first is not None
    second = OURS.forward(first, NOW)
    assert second is not None
    assert second.local.startswith("SRS1=")
    assert second.local.split("=", 3)[2] == "elsewhere.example"
    third = Srs("third.example", Signer((b"three",)), 21).forward(second, NOW)
    assert third is not None
    assert len(third.local) == len(second.local)  # it does not grow with each hop
    assert turned(Srs("third.example", Signer((b"three",)), 21).back(third, NOW)) == first.text
    assert turned(OURS.back(second, NOW)) == first.text
    assert turned(OTHER.back(first, NOW)) == "ann@sender.example"


def test_no_other_address_can_be_had_from_one() -> None:
    made = OURS.forward(parse_mailbox("ann@sender.example"), NOW)
    assert made is not None
    for place in range(5, len(made.local)):
        changed = made.local[:place] + ("x" if made.local[place] not in "xX" else "y") + made.local[place + 1 :]
        found = OURS.back(Mailbox(f"{changed}@fwd.example", changed, "fwd.example"), NOW)
        assert isinstance(found, str), changed
    assert OURS.back(made, NOW + 22 * DAY) == "it is older than 21 days"
    assert isinstance(OURS.back(made, NOW - DAY), str)  # a day that is to come


def test_what_is_no_address_of_ours() -> None:
    for local in (
        "SRS0",
        "SRS0=",
        "SRS0=a=b=c",
        "SRS1=x=y",
        "srs0xabc=a=b=c",
        "SRS0=AAAAAA==sender.example=ann",
        "SRS1",
    ):
        mailbox = Mailbox(f"{local}@fwd.example", local, "fwd.example")
        assert OURS.is_ours(mailbox)
        assert isinstance(OURS.back(mailbox, NOW), str), local
    assert not OURS.is_ours(parse_mailbox("ann@fwd.example"))
    assert not OURS.is_ours(parse_mailbox("SRS0=a=b=c=d@other.example"))


def test_keys_change_and_the_old_one_is_known() -> None:
    made = OURS.forward(parse_mailbox("ann@sender.example"), NOW)
    assert made is not None
    assert turned(Srs("fwd.example", Signer((b"new", b"one")), 21).back(made, NOW)) == "ann@sender.example"
    assert Srs("fwd.example", Signer((b"new",)), 21).back(made, NOW) == "its signature is not ours"


def test_what_would_be_too_long_stays() -> None:
    assert OURS.forward(parse_mailbox(f"{'a' * 50}@sender.example"), NOW) is None
    assert BATV.tag(parse_mailbox(f"{'a' * 60}@fwd.example"), NOW) is None


def test_quoted_local_parts_survive() -> None:
    sender = parse_mailbox('"two words"@sender.example')
    made = OURS.forward(sender, NOW)
    assert made is not None
    assert turned(OURS.back(made, NOW)) == sender.text


@given(local=LOCALS, days=st.integers(0, 7))
def test_tags(local: str, days: int) -> None:
    sender = parse_mailbox(f"{local}@fwd.example")
    tagged = BATV.tag(sender, NOW)
    assert tagged is not None
    assert BATV.is_tagged(tagged)
    assert turned(BATV.untag(tagged, NOW + days * DAY)) == sender.text
    assert BATV.untag(tagged, NOW + 8 * DAY) == "its tag is older than 7 days"
    forged = parse_mailbox(f"prvs={'0123AAAAAA'}={local}@fwd.example")
    assert BATV.untag(forged, NOW) == "its tag is not ours"
