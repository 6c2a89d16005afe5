"""Dialogs with AUTH: each file in auth/ is run over a socket, in one piece and octet by octet.

Beside the lines of other dialogs: `A: text` is a response, sent in base64, and `I: MECHANISM text` is AUTH with an
initial response; both take Python's escapes. `@ auth`, `@ networks` and `@ source` set what they name.
"""

import asyncio
import codecs
from base64 import b64encode
from pathlib import Path

import pytest

from postroad.auth.source import Attempt, Denied, Source, Unavailable
from postroad.listener.settings import ListenerSettings
from postroad.model.identity import Identity
from postroad.model.records import Authenticated, AuthFailed
from tests.dialogs.test_dialogs import Script
from tests.support.conversation import Desk
from tests.support.logins import Scripted, argon2_line, logins_of, users_file

FILES = sorted((Path(__file__).parent / "auth").glob("*.smtp"))
CANARIES = ("secret", "wrong", ".token")
PAST = 1_700_000_000_000_000


class Tokens(Scripted):
    """Knows one token."""

    async def token(self, login: str, token: str, _attempt: Attempt) -> Identity | Denied | Unavailable | None:
        if isinstance(self.answer, Unavailable):
            return self.answer
        return Identity(login, self.name) if token == "good.token" else Denied("bad signature")


class AuthScript(Script):
    """One file."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.options = {"auth": "optional", "networks": "127.0.0.0/8", "source": "up"}
        lines = []
        for line in path.read_text(encoding="utf-8").splitlines():
            kind, text = line[:2], line[3:]
            if kind == "A:":
                lines.append(f"C: {_coded(text)}")
            elif kind == "I:":
                mechanism, _, initial = text.partition(" ")
                lines.append(f"C: AUTH {mechanism} {_coded(initial)}")
            elif kind == "@ " and line[2:].partition("=")[0].strip() in self.options:
                name, _, value = line[2:].partition("=")
                self.options[name.strip()] = value.strip()
            else:
                lines.append(line)
        plain = folder / path.name
        plain.write_text("\n".join(lines))
        super().__init__(plain)
        self.folder = folder

    def desk(self) -> Desk:
        desk = super().desk()
        lines = [
            argon2_line("alice", "secret"),
            argon2_line("locked", "secret"),
            "locked:-:locked",
            argon2_line("expired", "secret", expires=PAST),
            argon2_line("strong", "secret"),
            "strong:-:strong",
        ]
        users = users_file(self.folder / "users", lines)
        answer = Unavailable("connection refused") if self.options["source"] == "down" else None
        tokens = Tokens("tokens", answer)
        sources: list[Source] = [tokens, users] if answer else [users, tokens]
        networks = [] if self.options["networks"] == "none" else [self.options["networks"]]
        desk.logins = logins_of(sources, plain_text_networks=networks, failure_delay="0s")
        return desk

    def settings(self) -> ListenerSettings:
        return ListenerSettings.model_validate({"bind": ["127.0.0.1:0"], "auth": self.options["auth"]})


def _coded(text: str) -> str:
    return b64encode(codecs.escape_decode(text.encode())[0]).decode()


@pytest.mark.parametrize("whole", [True, False], ids=["at_once", "octet_by_octet"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_dialog(path: Path, whole: bool, tmp_path: Path) -> None:
    script = AuthScript(path, tmp_path)
    desk = script.desk()
    listeners = desk.listeners()
    bound = await listeners.bind({"test": script.settings()})
    await listeners.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(bound[0].rpartition(":")[2]))
    sent = b"".join(script.sent)
    for piece in [sent] if whole else [sent[at : at + 1] for at in range(len(sent))]:
        writer.write(piece)
        if not whole:
            await asyncio.sleep(0)
    writer.write_eof()
    async with asyncio.timeout(60):
        written = await reader.read()
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    await listeners.drain(5)
    script.check(written, desk)
    told = repr([record for record in desk.records if not isinstance(record, AuthFailed)])
    assert not [canary for canary in CANARIES if canary in told]


async def test_what_is_told(tmp_path: Path) -> None:
    path = next(path for path in FILES if path.stem == "refused")
    await test_dialog(path, True, tmp_path)
    script = AuthScript(path, tmp_path)
    desk = script.desk()
    listeners = desk.listeners()
    bound = await listeners.bind({"test": script.settings()})
    await listeners.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(bound[0].rpartition(":")[2]))
    writer.write(b"".join(script.sent))
    async with asyncio.timeout(60):
        await reader.read()
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    await listeners.drain(5)
    failed = [(one.login, one.reason, one.code) for one in desk.records if isinstance(one, AuthFailed)]
    assert failed[:5] == [
        ("alice", "wrong password", 535),
        ("nobody", "no source knows the login", 535),
        ("locked", "the user is locked", 535),
        ("expired", "the password has expired", 432),
        ("strong", "the user may not send a password (strong)", 534),
    ]
    (done,) = [one for one in desk.records if isinstance(one, Authenticated)]
    assert (done.login, done.mechanism, done.source) == ("alice", "PLAIN", "users")
    assert (done.origin.login, done.origin.protocol) == ("alice", "ESMTPA")
    kinds = [(one.kind, one.login) for one in desk.conduct if one.kind.startswith("auth")]
    assert kinds == [("auth_failed", name) for name in ("alice", "nobody", "locked")] + [("auth_done", "alice")]
