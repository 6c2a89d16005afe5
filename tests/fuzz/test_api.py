"""Requests of the API: any octets are messages or a problem, and so is anything near to a message."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from postroad.api.decode import decode_batch, decode_message, decode_query
from postroad.api.problem import ApiError
from postroad.api.schema import Envelope, Message
from tests.support.apiclient import sound_problem

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    ["from", "to", "cc", "subject", "text", "raw", "envelope", "variables", "headers", "attachments"]
)
NEARLY = st.dictionaries(NAMES, JSON, max_size=5)


def decoded(body: bytes) -> None:
    try:
        assert isinstance(decode_message(body), Message)
    except ApiError as error:
        sound_problem(error)


@given(st.binary(max_size=200))
def test_octets(body: bytes) -> None:
    decoded(body)


@given(NEARLY)
def test_what_is_nearly_a_message(body: object) -> None:
    decoded(msgspec.json.encode(body))


@given(st.lists(NEARLY | JSON, max_size=4), NEARLY | st.none())
def test_a_batch_has_a_result_for_each(messages: list[object], defaults: object) -> None:
    try:
        found = decode_batch(msgspec.json.encode({"messages": messages, "defaults": defaults}), 3)
    except ApiError as error:
        sound_problem(error)
        return
    assert len(found) == len(messages)
    assert all(isinstance(one, Message | ApiError) for one in found)


@given(st.integers(1, 5000), st.sampled_from(['{"variables":{"a":', "[", '{"a":']))
def test_depth(depth: int, opening: str) -> None:
    decoded(opening.encode() * depth)


@given(
    st.lists(st.tuples(st.sampled_from(["from", "to", "notify", "ret", "envid", "x"]), st.text(max_size=9)), max_size=5)
)
def test_queries(pairs: list[tuple[str, str]]) -> None:
    try:
        assert isinstance(decode_query(pairs), Envelope)
    except ApiError as error:
        sound_problem(error)
