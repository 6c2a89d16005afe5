"""Real PAM, with files of services in a folder of ours: modules that permit, deny, compare, or take their time."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from postroad.auth.pam import PamSource, make_pam, meaning_of
from postroad.auth.pamcall import Pam, PamAnswer
from postroad.auth.pamsettings import PamSettings
from postroad.auth.source import EXPIRED, PASSWORDS, WRONG, Attempt, Denied, Unavailable
from postroad.model.address import parse_mailbox
from postroad.model.identity import Identity

ATTEMPT = Attempt(ip="192.0.2.1", listener="submission", mechanism="PLAIN")
PASSWORD = "pässword"
MakeSource = Callable[..., PamSource]
OPEN = "account required pam_permit.so"


@pytest.fixture
def source(tmp_path: Path) -> MakeSource:
    """Makes a source whose service file has these lines."""

    def make(
        *lines: str, service: str = "postroad", threads: int = 2, waiting: int = 10, domain: str = ""
    ) -> PamSource:
        (tmp_path / "postroad").write_text("\n".join(lines) + "\n")
        settings = PamSettings(service=service, threads=threads, waiting=waiting, domain=domain)
        return PamSource(settings, Pam(str(tmp_path)))

    return make


def compared(folder: Path) -> tuple[str, ...]:
    """The lines for passwords that a program compares: alice's is right, everybody else's is wrong."""
    script = folder / "compare.sh"
    script.write_text(f"#!/bin/sh\n[ \"$PAM_USER\" = alice ] && [ \"$(tr -d '\\000')\" = '{PASSWORD}' ]\n")
    script.chmod(0o755)
    line = f"auth [success=done default=ignore] pam_exec.so quiet expose_authtok {script}"
    return line, "auth required pam_deny.so", OPEN


async def verify(pam: PamSource, login: str = "alice", secret: str = PASSWORD) -> object:
    try:
        return await asyncio.wait_for(pam.verify(login, secret, ATTEMPT), 60)
    finally:
        await pam.close()


async def test_a_password_compared(source: MakeSource, tmp_path: Path) -> None:
    lines = compared(tmp_path)
    pam = source(*lines, domain="example.com")
    assert pam.offers == {PASSWORDS}
    assert await verify(pam) == Identity("alice", "pam", "PLAIN", (parse_mailbox("alice@example.com"),))
    assert await verify(source(*lines), secret="wrong") == Denied("wrong password (PAM)")
    for login in ("bob", "Alice", "alice:x", "../alice", "$(true)", "a" * 200):
        assert isinstance(await verify(source(*lines), login), Denied | None)


@pytest.mark.parametrize("secret", ["", "\0", f"{PASSWORD}\0", "\udcff"])
async def test_a_password_that_pam_would_cut_or_not_have_is_never_asked(source: MakeSource, secret: str) -> None:
    pam = source("auth required pam_permit.so", OPEN)
    for login in ("alice", "empty"):
        assert isinstance(await pam.verify(login, secret, ATTEMPT), Denied)
    await pam.close()


@pytest.mark.parametrize("login", ["", "a\0b", "a\nb", "\udcff", "x" * 300])
async def test_a_login_that_no_host_has_is_never_asked(source: MakeSource, login: str) -> None:
    assert await verify(source("auth required pam_permit.so", OPEN), login) is None


@pytest.mark.parametrize(
    ("auth", "account", "wanted"),
    [
        ("pam_permit.so", "pam_permit.so", Identity("alice", "pam", "PLAIN")),
        ("pam_deny.so", "pam_permit.so", Denied("wrong password (PAM)")),
        ("pam_permit.so", "pam_deny.so", Denied("wrong password (PAM)")),
        ("pam_debug.so auth=user_unknown", "pam_permit.so", None),
        ("pam_debug.so auth=maxtries", "pam_permit.so", Denied("too many tries (PAM)")),
        ("pam_permit.so", "pam_debug.so acct=acct_expired", Denied("the account has expired (PAM)")),
        ("pam_permit.so", "pam_debug.so acct=perm_denied", Denied("permission denied (PAM)")),
    ],
)
async def test_what_modules_say(source: MakeSource, auth: str, account: str, wanted: object) -> None:
    assert await verify(source(f"auth required {auth}", f"account required {account}")) == wanted


async def test_a_password_that_has_to_be_changed(source: MakeSource) -> None:
    denied = await verify(source("auth required pam_permit.so", "account required pam_debug.so acct=new_authtok_reqd"))
    assert isinstance(denied, Denied)
    assert denied.meaning == EXPIRED


@pytest.mark.parametrize("result", ["authinfo_unavail", "cred_insufficient", "system_err", "service_err", "abort"])
async def test_what_is_neither_yes_nor_no(source: MakeSource, result: str) -> None:
    assert isinstance(await verify(source(f"auth required pam_debug.so auth={result}", OPEN)), Unavailable)


async def test_a_service_that_is_not_there_lets_nobody_in(source: MakeSource) -> None:
    for pam in (source(OPEN, service="other-one"), source("auth required pam_none_such.so", OPEN), source("")):
        assert isinstance(await verify(pam), Denied | Unavailable)


async def test_pams_own_delay_is_not_waited_for(source: MakeSource) -> None:
    begun = time.monotonic()
    lines = ("auth optional pam_faildelay.so delay=100000000", "auth required pam_deny.so", OPEN)
    assert isinstance(await verify(source(*lines)), Denied)
    assert time.monotonic() - begun < 50


async def test_who_waits_too_long_or_finds_the_line_full_is_told(source: MakeSource, tmp_path: Path) -> None:
    """The module waits for a file that the test makes; the event loop goes on."""
    gate = tmp_path / "gate"
    script = tmp_path / "wait.sh"
    script.write_text(f"#!/bin/sh\nwhile [ ! -e {gate} ]; do sleep 0.05; done\n")
    script.chmod(0o755)
    pam = source(f"auth required pam_exec.so quiet {script}", OPEN, threads=1, waiting=1)
    first, second = (asyncio.create_task(pam.verify("alice", PASSWORD, ATTEMPT)) for _ in range(2))
    await asyncio.sleep(0)
    assert isinstance(await pam.verify("alice", PASSWORD, ATTEMPT), Unavailable)
    gate.touch()
    found = await asyncio.wait_for(asyncio.gather(first, second), 60)
    assert list(found) == [Identity("alice", "pam", "PLAIN")] * 2
    await pam.close()


def test_a_module_that_hangs_does_not_hold_up_the_end_of_the_process(tmp_path: Path) -> None:
    """It would for an hour; whoever waits for it leaves at the deadline, and its place stays taken."""
    (tmp_path / "postroad").write_text(f"auth required pam_exec.so quiet /bin/sleep 3600\n{OPEN}\n")
    code = f"""
import asyncio
from postroad.auth.pam import PamSource
from postroad.auth.pamcall import Pam
from postroad.auth.pamsettings import PamSettings
from postroad.auth.source import Attempt, Unavailable

async def main():
    source = PamSource(PamSettings(threads=1, waiting=0), Pam({str(tmp_path)!r}))
    attempt = Attempt(ip="192.0.2.1", listener="submission", mechanism="PLAIN")
    try:
        await asyncio.wait_for(source.verify("alice", "secret", attempt), 0.2)
    except TimeoutError:
        print("left", isinstance(await source.verify("alice", "secret", attempt), Unavailable))

asyncio.run(main())
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as done:
        said = done.stdout.readline() if done.stdout else ""
        status = done.wait(60)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(done.pid, signal.SIGKILL)  # what the module has begun
    assert (said, status) == ("left True\n", 0)


async def test_many_at_once_do_not_mix(source: MakeSource, tmp_path: Path) -> None:
    pam = source(*compared(tmp_path), threads=4, waiting=100)
    found = await asyncio.gather(
        *(pam.verify("alice", PASSWORD if number % 3 else f"wrong{number}", ATTEMPT) for number in range(30))
    )
    assert [isinstance(answer, Identity) for answer in found] == [bool(number % 3) for number in range(30)]
    await pam.close()


async def test_who_proved_it_otherwise_needs_an_account_that_may_log_in(source: MakeSource) -> None:
    for account, kind in (("pam_permit.so", Identity), ("pam_debug.so acct=acct_expired", Denied)):
        pam = source("auth required pam_deny.so", f"account required {account}")
        assert isinstance(await pam.look_up("alice", ATTEMPT), kind)
        assert await pam.scram_keys("alice", "sha256", ATTEMPT) is None
        assert await pam.token("alice", "x", ATTEMPT) is None
        await pam.close()


async def test_the_host_itself(tmp_path: Path) -> None:
    """Through /etc/pam.d of this machine, whose `other` knows no such account."""
    made = make_pam(PamSettings(service="postroad-has-no-such-service"))
    answer = await made.verify("postroad-no-such-user", PASSWORD, ATTEMPT)
    assert answer is None or isinstance(answer, Denied | Unavailable)
    await made.close()


def test_only_some_codes_are_a_no() -> None:
    for code in range(1, 60):
        answer = meaning_of(PamAnswer(code, "words", "alice"), "", "PLAIN")
        assert not isinstance(answer, Identity)
        assert isinstance(answer, Denied) == (code in {6, 7, 11, 12, 13, 27})
    assert meaning_of(PamAnswer(7, "words", "alice"), "", "PLAIN") == Denied("wrong password (PAM)", WRONG)


@pytest.mark.parametrize("service", ["", "../passwd", "a b", "x" * 65])
def test_services_that_cannot_be_meant(service: str) -> None:
    with pytest.raises(ValueError, match="service"):
        PamSettings(service=service)
