"""The head of an HTTP request: what is taken, what is refused and how."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.desk.request import BadRequest, Request, parse_request


def test_a_plain_request() -> None:
    found = parse_request(b"GET /metrics?name=x HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n")
    assert found == Request("/metrics", is_head=False, keeps_alive=True)


@pytest.mark.parametrize(
    ("head", "keeps"),
    [
        (b"HEAD /healthz HTTP/1.1\r\nhost:a\r\nConnection: Close\r\n\r\n", False),
        (b"HEAD /healthz HTTP/1.0\r\n\r\n", False),
        (b"HEAD /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", True),
    ],
)
def test_whether_the_connection_stays(head: bytes, keeps: bool) -> None:
    assert parse_request(head) == Request("/healthz", is_head=True, keeps_alive=keeps)


@pytest.mark.parametrize(
    ("status", "head"),
    [
        (400, b"\r\n\r\n"),
        (400, b"GET\r\n\r\n"),
        (400, b"GET / HTTP/1.1 x\r\nHost: a\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a\0\r\n\r\n"),
        (400, b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        (400, b"EHLO client.example.com\r\n\r\n"),
        (405, b"POST / HTTP/1.1\r\nHost: a\r\n\r\n"),
        (413, b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"),
        (413, b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (505, b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    ],
)
def test_refused(status: int, head: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_request(head)
    assert caught.value.status == status


@given(st.binary(max_size=200))
def test_any_octets_are_answered(octets: bytes) -> None:
    """The one exception that may come is `BadRequest`."""
    with contextlib.suppress(BadRequest):
        assert parse_request(octets + b"\r\n\r\n").path.startswith("/")
