"""AUTH against any input: splits change nothing, only the right password logs in, and no record has a secret.

Inputs are built from commands, responses of every mechanism, and what is none; a session that breaks would raise or
hang, and either fails the test.
"""

import asyncio
from base64 import b64encode
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from postroad.listener.settings import LimitsSettings, ListenerSettings
from postroad.model.errors import SaslError
from postroad.model.records import Authenticated, Record
from postroad.smtp.sasl import MECHANISMS, Answer, Challenge, Ended, Exchange, KeysWanted, Setting
from postroad.smtp.scram import Stored, key_pair, salted_password
from tests.support.conversation import Desk
from tests.support.logins import argon2_line, logins_of, scram_line, users_file
from tests.support.saslclient import NONCE, ScramClient

CANARY = "canary"  # in every secret that is not right
RIGHT = "right-horse"


def coded(octets: bytes) -> bytes:
    return b64encode(octets) + b"\r\n"


RESPONSES = [
    f"\0alice\0{RIGHT}".encode(),
    b"\0alice\0canary",
    b"\0nobody\0canary",
    b"alice",
    b"canary",
    RIGHT.encode(),
    b"",
    b"\xff\0canary\0",
    b"n,,n=alice,r=" + NONCE.encode(),
    b"y,,n=alice,r=x",
    b"p=tls-unique,,n=alice,r=x",
    b"c=biws,r=x,p=Y2FuYXJ5",
    b"user=alice\1auth=Bearer canary\1\1",
    b"n,a=alice,\1auth=Bearer canary\1\1",
]
WORDS = st.sampled_from(
    [
        *(coded(response) for response in RESPONSES),
        *(b"AUTH " + name.encode() + b"\r\n" for name in MECHANISMS),
        *(b"AUTH PLAIN " + coded(response) for response in RESPONSES[:4]),
        b"AUTH LOGIN " + coded(b"alice"),
        b"AUTH XOAUTH2 " + coded(RESPONSES[-2]),
        b"AUTH PLAIN =\r\n",
        b"auth plain Y2FuYXJ5!\r\n",
        b"AUTH\r\n",
        b"*\r\n",
        b"=\r\n",
        b"\r\n",
        b"canary\r\n",
        b"Y2FuYXJ5\n",
        b"Y2Fu\rYXJ5\r\n",
        b"A" * 12_286 + b"\r\n",
        b"A" * 12_287 + b"\r\n",
        b"AUTH PLAIN " + b"A" * 6000 + b"\r\n",
        b"AUTH PLAIN " + b"A" * 12_300 + b"\r\n",
        b"EHLO c\r\n",
        b"HELO c\r\n",
        b"MAIL FROM:<a@example.com>\r\n",
        b"MAIL FROM:<a@example.com> AUTH=<>\r\n",
        b"RSET\r\n",
        b"NOOP\r\n",
    ]
)
SMALL = LimitsSettings.model_construct(**(LimitsSettings().model_dump() | {"errors_per_session": 8}))
SUBMISSION = ListenerSettings(bind=("127.0.0.1:0",), auth="required")


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("users") / "users"
    users_file(path, [argon2_line("alice", RIGHT), scram_line("alice", RIGHT)])
    return path


async def transcript(path: Path, pieces: list[bytes]) -> tuple[bytes, list[Record]]:
    lines = path.read_text().splitlines()
    source = users_file(path, lines)
    desk = Desk(limits=SMALL, logins=logins_of([source], plain_text_networks=["127.0.0.0/8"]))
    conversation, transport = desk.connect(settings=SUBMISSION)
    for piece in pieces:
        if transport.closed:
            break
        conversation.data_received(piece)
        async with asyncio.timeout(60):
            while conversation._asking is not None:
                await asyncio.sleep(0)
    if not transport.closed:
        conversation.eof_received()
    conversation.connection_lost(None)
    return transport.written, desk.records


def shown(written: bytes) -> list[bytes]:
    """What was written, but for SCRAM's random challenges."""
    return [line[:5] if line.startswith(b"334 cj") else line for line in written.split(b"\r\n")]


@settings(max_examples=150, deadline=None)
@given(words=st.lists(WORDS, max_size=20), data=st.data())
def test_any_split_gives_the_same_transcript(users: Path, words: list[bytes], data: st.DataObject) -> None:
    whole = b"EHLO c\r\n" + b"".join(words)
    written, records = asyncio.run(transcript(users, [whole]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True) if a < b]
    split, _ = asyncio.run(transcript(users, pieces))
    assert shown(split) == shown(written)
    told = repr(records)
    assert CANARY not in told.replace("'canary'", "")  # it was sent as a login, too
    assert RIGHT not in told
    if any(isinstance(record, Authenticated) for record in records):
        assert any(coded(one) in whole for one in (RESPONSES[0], RESPONSES[5]))


ANY = st.one_of(st.binary(max_size=200), st.sampled_from(RESPONSES))
KEYS = Stored(b"salt", 4096, (key_pair(salted_password(RIGHT, b"salt", 4096)),))


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from(sorted(MECHANISMS)),
    st.lists(st.one_of(st.binary(max_size=200), st.sampled_from(RESPONSES)), max_size=6),
)
def test_no_response_breaks_an_exchange(mechanism: str, responses: list[bytes]) -> None:
    """Without the right password, which no source is asked about here, nothing is proved."""
    exchange = Exchange(mechanism, Setting(nonce="nonce", bindings={"tls-exporter": b"x"}))
    try:
        step = exchange.start(None)
        for response in responses:
            value: bytes | Answer = response
            while not isinstance(step, Challenge | Ended):
                step = exchange.give(KEYS if isinstance(step, KeysWanted) else False)
            if isinstance(step, Ended):
                assert step.place < 0
                return
            step = exchange.give(value)
    except SaslError as error:
        said = str(error)
        assert CANARY not in said


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 200), st.integers(0, 255))
def test_a_changed_octet_of_scram_proves_nothing(place: int, octet: int) -> None:
    client = ScramClient("alice", RIGHT, "sha256")
    exchange = Exchange("SCRAM-SHA-256", Setting(nonce="nonce"))
    exchange.start(client.first())
    challenge = exchange.give(KEYS)
    assert isinstance(challenge, Challenge)
    final = client.final(challenge.data)
    at = place % len(final)
    assume(at != len(final) - 2)  # two bits of it mean nothing in base64
    changed = final[:at] + bytes([octet]) + final[at + 1 :]
    try:
        step = exchange.give(changed)
    except SaslError:
        return
    assert isinstance(step, Challenge) is (changed == final)
