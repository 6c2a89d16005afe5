"""A real service asked by HTTP: its yes and no, and that everything else is neither."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.auth.http import make_http, meaning_of
from postroad.auth.httpsettings import HttpSettings
from postroad.auth.httpsource import ClosableSource
from postroad.auth.source import EXPIRED, PASSWORDS, WRONG, Attempt, Denied, Unavailable
from postroad.auth.userlines import parse_address
from postroad.model.errors import ConfigError
from postroad.model.identity import Identity
from postroad.model.option import Secret
from postroad.net.http.fetching import Answer
from postroad.net.http.poster import BODY_LIMIT
from tests.support.loginservice import Answered, LoginService
from tests.support.ports import free_port
from tests.support.slapd import make_ca

PASSWORD = 'a "secret" ünïcode'
OURS = "shared with the service"
ATTEMPT = Attempt(ip="192.0.2.1", listener="submission", mechanism="PLAIN", session="S1", is_secure=True)
ACCOUNTS = {"alice": PASSWORD}


@pytest.fixture
def service() -> Iterator[LoginService]:
    with LoginService(ACCOUNTS, OURS) as running:
        yield running


@pytest.fixture
async def source(service: LoginService) -> AsyncIterator[ClosableSource]:
    made = make_http("ours", HttpSettings(url=service.url, timeout=30.0), OURS)
    yield made
    await made.close()


async def test_yes_with_who_it_is(service: LoginService, source: ClosableSource) -> None:
    assert source.offers == {PASSWORDS}
    assert await source.verify("alice", PASSWORD, ATTEMPT) == Identity(
        "alice@example.com",
        "ours",
        "PLAIN",
        (parse_address("alice@example.com"), parse_address("@alice.example.com")),
        frozenset(("staff",)),
        ("submission",),
    )
    assert service.requests == [
        {
            "login": "alice",
            "secret": PASSWORD,
            "ip": "192.0.2.1",
            "mechanism": "PLAIN",
            "listener": "submission",
            "session": "S1",
            "tls": True,
        }
    ]


async def test_no_and_not_known(source: ClosableSource) -> None:
    assert await source.verify("alice", "another", ATTEMPT) == Denied("the service says no (HTTP 401): wrong password")
    assert await source.verify("nobody", PASSWORD, ATTEMPT) is None


async def test_what_it_is_never_asked(service: LoginService, source: ClosableSource) -> None:
    assert isinstance(await source.verify("alice", "", ATTEMPT), Denied)
    assert await source.verify("alice", "\udcff", ATTEMPT) is None
    assert await source.look_up("alice", ATTEMPT) is None
    assert await source.scram_keys("alice", "sha256", ATTEMPT) is None
    assert await source.token("alice", "x", ATTEMPT) is None
    assert service.requests == []


@pytest.mark.parametrize(
    "answer",
    [
        (200, b""),
        (200, b"yes"),
        (200, b"[]"),
        (200, {"login": 5}),
        (200, {"addresses": ["not an address"]}),
        (200, {"login": "a\nb"}),
        (200, {"login": "x" * 400}),
        (200, {"groups": ["g"] * 1001}),
        (200, b"[" * 5000),
        (200, b'{"login": "' + b"x" * BODY_LIMIT + b'"}'),
        (201, {"login": "alice"}),
        (204, b""),
        (302, {}),
        (400, {}),
        (404, {}),
        (407, {}),
        (429, {}),
        (500, {}),
        (503, b"down"),
    ],
)
async def test_everything_else_is_neither(service: LoginService, source: ClosableSource, answer: Answered) -> None:
    service.answer = answer
    assert isinstance(await source.verify("alice", PASSWORD, ATTEMPT), Unavailable)
    service.answer = None
    assert isinstance(await source.verify("alice", PASSWORD, ATTEMPT), Identity)


async def test_a_password_that_the_service_repeats_is_not_told(service: LoginService, source: ClosableSource) -> None:
    service.answer = (403, {"reason": f"{PASSWORD} is wrong"})
    assert await source.verify("alice", PASSWORD, ATTEMPT) == Denied("the service says no (HTTP 403)")
    service.answer = (403, {"reason": "line\r\nbreak " + "x" * 500, "expired": True})
    answer = await source.verify("alice", PASSWORD, ATTEMPT)
    assert isinstance(answer, Denied)
    assert answer.meaning == EXPIRED
    assert answer.reason.isprintable()
    assert len(answer.reason) < 300


async def test_a_service_that_is_down_or_says_nothing_is_neither(service: LoginService) -> None:
    for port, timeout in ((free_port(), 30.0), (service.port, 0.3)):
        silent = make_http("ours", HttpSettings(url=f"http://localhost:{port}/", timeout=timeout), OURS)
        service.hang.clear()
        answer = await silent.verify("alice", PASSWORD, ATTEMPT)
        assert isinstance(answer, Unavailable)
        assert PASSWORD not in answer.reason
        await silent.close()


async def test_a_kept_connection_that_has_died_costs_no_log_in() -> None:
    """The peer answers one request of each connection, and closes at the next."""
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        body = b'{"login": "alice"}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        with contextlib.suppress(asyncio.IncompleteReadError):  # the last one is closed by us
            await reader.readuntil(b"POST")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        source = make_http("ours", HttpSettings(url=f"http://127.0.0.1:{port}/", timeout=30.0), "")
        for _ in range(3):
            assert isinstance(await source.verify("alice", PASSWORD, ATTEMPT), Identity)
        await source.close()
    assert connections == 3


async def test_tls_is_checked(tmp_path: Path) -> None:
    make_ca(tmp_path)
    with LoginService(ACCOUNTS, OURS, tmp_path) as service:
        good = HttpSettings(url=f"https://localhost:{service.port}/", ca=str(tmp_path / "ca.pem"), timeout=30.0)
        for settings, is_taken in (
            (good, True),
            (good.model_copy(update={"url": f"https://127.0.0.2:{service.port}/"}), False),
            (good.model_copy(update={"ca": ""}), False),
        ):
            source = make_http("ours", settings, OURS)
            answer = await source.verify("alice", PASSWORD, ATTEMPT)
            assert isinstance(answer, Identity if is_taken else Unavailable)
            await source.close()
        assert len(service.requests) == 1
    with pytest.raises(ConfigError, match=r"auth\.http\.ours\.ca: .*none\.pem: No such file"):
        make_http("ours", good.model_copy(update={"ca": str(tmp_path / "none.pem")}), "")


@given(st.integers(0, 999), st.binary(max_size=60))
def test_only_a_200_as_agreed_is_a_yes(status: int, body: bytes) -> None:
    answer = meaning_of(Answer(status, "", body=body), "ours", "alice", PASSWORD, "PLAIN")
    if isinstance(answer, Identity):
        assert status == 200
        assert isinstance(json.loads(body), dict)
    if answer is None or isinstance(answer, Denied):
        assert status in {401, 403}


@pytest.mark.parametrize(
    ("body", "meaning"), [(b"", WRONG), (b"{}", WRONG), (b'{"expired": true}', EXPIRED), (b"no", WRONG)]
)
def test_a_no_needs_no_body(body: bytes, meaning: str) -> None:
    answer = meaning_of(Answer(403, "Forbidden", body=body), "ours", "alice", PASSWORD, "PLAIN")
    assert isinstance(answer, Denied)
    assert answer.meaning == meaning


@pytest.mark.parametrize(
    "url",
    ["", "login.example.com", "ftp://x/", "http://login.example.com/", "https://x:0/", "https:///x"],
)
def test_addresses_that_cannot_be_meant(url: str) -> None:
    with pytest.raises(ValueError, match="url"):
        HttpSettings(url=url)


def test_secrets_are_in_no_repr() -> None:
    settings = HttpSettings(url="https://login.example.com/", secret=Secret("geheim"))
    assert "geheim" not in repr(settings)
    assert "geheim" not in repr(make_http("ours", settings, "geheim"))
