"""Log-ins of one connection: when they are answered and told, each mechanism from AUTH to 235, and policies."""

import asyncio
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from postroad.auth.source import PASSWORDS, SCRAM_SHA256, TOKENS, Denied, Source, Unavailable
from postroad.listener.session import Conversation
from postroad.listener.settings import ListenerSettings
from postroad.model.identity import Identity, TlsState
from postroad.model.records import Authenticated, AuthFailed, CommandRefused
from postroad.policy.chain import Chain
from postroad.policy.context import AuthContext, RcptContext
from postroad.policy.stages import Stages
from postroad.policy.verdict import Defer, Reject, Verdict
from postroad.smtp import replies
from tests.support.conversation import NOW, Desk, MemoryTransport
from tests.support.logins import Scripted, argon2_line, logins_of, scram_line, users_file
from tests.support.saslclient import ScramClient

OPTIONAL = ListenerSettings(bind=("127.0.0.1:0",), auth="optional")
TLS = TlsState("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256)


class Talk:
    """A client of one conversation; `timers` are what waits for the clock."""

    def __init__(
        self, *sources: Source, stages: Stages | None = None, tls: TlsState | None = None, **options: Any
    ) -> None:
        self.desk = Desk(logins=logins_of(sources, monotonic=lambda: self.desk.time, **options), stages=stages)
        first, _ = self.desk.connect(settings=OPTIONAL)
        self.timers: list[tuple[float, Callable[[], None]]] = []
        terms = replace(first.terms, call_later=lambda seconds, callback: self.timers.append((seconds, callback)))
        self.conversation = Conversation(terms, "test-2")
        self.transport = MemoryTransport("127.0.0.1")
        self.conversation.connection_made(self.transport)
        judge = self.conversation._judge
        judge.peer = replace(judge.peer, tls=tls)
        self.transport.written = b""

    async def say(self, line: str | bytes) -> str:
        """Send a line, give what was answered."""
        self.conversation.data_received((line.encode() if isinstance(line, str) else line) + b"\r\n")
        await self.settle()
        written, self.transport.written = self.transport.written, b""
        return written.decode()

    async def settle(self) -> None:
        async with asyncio.timeout(60):
            while self.conversation._asking is not None and not self.timers:
                await asyncio.sleep(0.001)

    def told(self, kind: type) -> list[Any]:
        return [record for record in self.desk.records if type(record) is kind]

    def kinds(self) -> list[tuple[str, str]]:
        return [(one.kind, one.login) for one in self.desk.conduct if one.kind.startswith("auth")]


def coded(text: str | bytes) -> str:
    return b64encode(text.encode() if isinstance(text, str) else text).decode()


async def test_a_wrong_log_in_is_told_at_once_and_answered_after_the_delay() -> None:
    talk = Talk(Scripted("first", Denied("wrong password")), tls=TLS, failure_delay="3s")
    await talk.say("EHLO c")
    assert await talk.say(f"AUTH PLAIN {coded(chr(0) + 'alice' + chr(0) + 'x')}") == ""
    assert [seconds for seconds, _ in talk.timers] == [3.0]
    (failed,) = talk.told(AuthFailed)  # who leaves now hides nothing
    assert (failed.login, failed.source, failed.reason, failed.code) == ("alice", "first", "wrong password", 535)
    assert talk.kinds() == [("auth_failed", "alice")]
    _, wake = talk.timers.pop()
    wake()
    await talk.settle()
    assert talk.transport.written.startswith(b"535 5.7.8 ")


async def test_the_time_that_an_answer_took_is_part_of_the_delay() -> None:
    source = Scripted("first", Denied("wrong password"))
    source.gate = asyncio.Event()
    talk = Talk(source, tls=TLS, failure_delay="3s")
    await talk.say("EHLO c")
    talk.conversation.data_received(b"AUTH PLAIN " + coded("\0alice\0x").encode() + b"\r\n")
    while not source.asked:
        await asyncio.sleep(0)
    talk.desk.time += 2.5
    source.gate.set()
    await talk.settle()
    assert [seconds for seconds, _ in talk.timers] == [0.5]
    talk.conversation.connection_lost(None)


async def test_who_leaves_during_a_question_is_forgotten() -> None:
    source = Scripted("first", Identity("alice", "first"))
    source.gate = asyncio.Event()
    talk = Talk(source, tls=TLS)
    await talk.say("EHLO c")
    talk.conversation.data_received(b"AUTH PLAIN " + coded("\0alice\0x").encode() + b"\r\n")
    while not source.asked:
        await asyncio.sleep(0)
    asking = talk.conversation._asking
    assert asking is not None
    talk.conversation.connection_lost(None)
    await asyncio.gather(asking, return_exceptions=True)
    assert not talk.told(Authenticated)


async def test_scram_from_the_command_to_the_record(tmp_path: Path) -> None:
    past = 1_600_000_000_000_000
    lines = [
        scram_line("alice", "one"),
        scram_line("alice", "two", app="p", scope=("x",)),
        scram_line("old", "one", expires=past),
    ]
    users = users_file(tmp_path / "users", lines)
    talk = Talk(users)
    assert "AUTH SCRAM-SHA-256\r\n" in (await talk.say("EHLO c"))
    for secret, reason in (("three", "wrong password"), ("two", "the app password p is not for listener test")):
        assert (await scram(talk, "alice", secret)).startswith("535 ")
        assert talk.told(AuthFailed)[-1].reason == reason
    assert (await scram(talk, "old", "wrong")).startswith("535 ")  # who has not proved it hears nothing of it
    assert talk.told(AuthFailed)[-1].reason == "wrong password"
    assert (await scram(talk, "old", "one")).startswith("432 ")
    assert (await scram(talk, "nobody", "one")).startswith("535 ")
    assert talk.told(AuthFailed)[-1].reason == "no source knows the login"
    assert (await scram(talk, "alice", "one")).startswith("235 ")
    (done,) = talk.told(Authenticated)
    assert (done.login, done.mechanism, done.source) == ("alice", "SCRAM-SHA-256", "users")
    failed = [("auth_failed", name) for name in ("alice", "alice", "old", "nobody")]
    assert talk.kinds() == [*failed, ("auth_done", "alice")]


async def scram(talk: Talk, login: str, secret: str) -> str:
    client = ScramClient(login, secret, "sha256")
    challenge = await talk.say(f"AUTH SCRAM-SHA-256 {coded(client.first())}")
    said = await talk.say(coded(client.final(b64decode(challenge[4:]))))
    if not said.startswith("334 "):
        return said
    assert client.is_server_proved(b64decode(said[4:]))
    return await talk.say("")


async def test_a_client_certificate(tmp_path: Path) -> None:
    users = users_file(tmp_path / "users", [argon2_line("printer", "x"), "printer:-:groups=devices"])
    tls = TlsState("TLSv1.3", "x", 256, "", "ab" * 32, "CN=printer", ("DNS:printer.example.com",), is_verified=True)
    talk = Talk(users, tls=tls, certificates={"printer.example.com": "printer"})
    assert "AUTH EXTERNAL PLAIN LOGIN\r\n" in (await talk.say("EHLO c"))
    assert (await talk.say(f"AUTH EXTERNAL {coded('somebody')}")).startswith("535 ")
    assert (await talk.say("AUTH EXTERNAL =")).startswith("235 ")
    peer, origin = talk.conversation._judge.peer, talk.conversation._judge.origin
    assert peer.identity is not None
    assert (peer.identity.login, peer.identity.groups) == ("printer", frozenset({"devices"}))
    assert peer.identity.mechanism == "EXTERNAL"
    assert (origin.login, origin.protocol) == ("printer", "ESMTPSA")
    await talk.say("HELO c")
    assert (talk.conversation._judge.origin.login, talk.conversation._judge.origin.protocol) == ("printer", "SMTP")


async def test_tls_lets_passwords_pass() -> None:
    source = Scripted("first", Identity("alice", "first"), offers=[PASSWORDS, TOKENS, SCRAM_SHA256])
    talk = Talk(source)
    await talk.say("EHLO c")
    assert (await talk.say("AUTH PLAIN")).startswith("538 ")
    assert (await talk.say("AUTH CRAM-MD5")).startswith("504 ")
    assert [(one.mechanism, one.reason, one.code) for one in talk.told(AuthFailed)] == [
        ("PLAIN", "the mechanism needs TLS", 538),
        ("CRAM-MD5", "the mechanism is not offered", 504),
    ]
    assert talk.kinds() == []
    assert "AUTH SCRAM-SHA-256\r\n" in (await Talk(source).say("EHLO c"))
    assert "AUTH SCRAM-SHA-256 OAUTHBEARER XOAUTH2 PLAIN LOGIN\r\n" in (await Talk(source, tls=TLS).say("EHLO c"))


async def test_a_token_of_whom_the_source_knows_is_told() -> None:
    talk = Talk(Scripted("first", Denied("expired", login="carol@example.com")), tls=TLS)
    await talk.say("EHLO c")
    message = coded("n,,\1auth=Bearer some.token\1\1")
    assert (await talk.say(f"AUTH OAUTHBEARER {message}")).startswith("334 ")
    assert [(one.login, one.reason) for one in talk.told(AuthFailed)] == [("carol@example.com", "expired")]
    assert (await talk.say("AQ==")).startswith("535 ")
    assert len(talk.told(AuthFailed)) == len(talk.kinds()) == 1


async def test_a_source_that_is_down_is_nobodys_fault() -> None:
    talk = Talk(Scripted("first", Unavailable("connection refused")), tls=TLS)
    await talk.say("EHLO c")
    for _ in range(30):  # more than limits.errors_per_session
        assert (await talk.say(f"AUTH PLAIN {coded(chr(0) + 'alice' + chr(0) + 'x')}")).startswith("454 4.7.0 ")
    assert talk.kinds() == []
    assert talk.told(AuthFailed)[0].reason == "connection refused"


def stages(policy: Callable[[AuthContext], Any]) -> Stages:
    def chain(stage: str, policies: tuple[Any, ...]) -> Chain[Any]:
        return Chain[Any](stage, policies, timeout=5, emit=lambda _record: None, now=lambda: NOW)

    rcpt: Chain[RcptContext] = chain("rcpt", ())
    return Stages(rcpt=rcpt, auth=chain("auth", (policy,)))


@pytest.mark.parametrize("is_late", [True, False])
@pytest.mark.parametrize(
    ("verdict", "code", "asked"),
    [
        (None, "235", 1),
        (Reject(replies.NOT_SMTP, "banned", leave=True), "554", 0),
        (Defer(replies.POLICY_ERROR, "later", leave=True), "451", 0),
    ],
)
async def test_policies_are_asked_before_anybody_else(
    verdict: Verdict | None, code: str, asked: int, is_late: bool
) -> None:
    seen: list[str] = []

    def policy(ctx: AuthContext) -> Any:
        seen.append(ctx.mechanism)
        if not is_late:
            return verdict

        async def later() -> Verdict | None:
            await asyncio.sleep(0)
            return verdict

        return later()

    source = Scripted("first", Identity("alice", "first"))
    talk = Talk(source, stages=stages(policy), tls=TLS)
    await talk.say("EHLO c")
    assert (await talk.say(f"AUTH PLAIN {coded(chr(0) + 'alice' + chr(0) + 'x')}")).startswith(code)
    assert seen == ["PLAIN"]
    assert len(source.asked) == asked
    if not asked:
        assert talk.transport.closed
        assert [one.stage for one in talk.told(CommandRefused)] == ["auth"]
