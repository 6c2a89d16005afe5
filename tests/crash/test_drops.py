"""kill -9 at every call by which drops touch the disk: a drop is whole or no drop, and is taken in exactly once.

A child counts its calls and kills itself at the wanted one: the writer at each of its own, the server at each from the
moment it takes a drop. Whatever the writer called durable is in the queue once after the next start.
"""

import json
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from postroad.model.errors import DropError
from postroad.store.drops import DropFolder
from tests.support.relay import Relay, wait_until

HOLDING = '\n[drops]\npoll = "100ms"\n[[routes]]\nrecipients = ["*"]\nthen = "hold"\n'
CALLS = ("open", "write", "fsync", "fdatasync", "fchmod", "rename", "unlink", "close", "pread", "pwritev")
POSTQUEUE = "from postroad.cli.postfix.postqueue import main; main()"
CHILD = """
import os, signal, sys
number, names = int(sys.argv.pop(1)), sys.argv.pop(1).split(",")
begun = [sys.argv[1] != "serve"]
count = [0]
def counted(call):
    def run(*arguments, **options):
        if call is renaming:
            begun[0] = True
        if begun[0]:
            if count[0] == number:
                os.kill(os.getpid(), signal.SIGKILL)
            count[0] += 1
        return call(*arguments, **options)
    return run
renaming = os.rename
for name in names:
    setattr(os, name, counted(getattr(os, name)))
if sys.argv[1] == "serve":
    from postroad.cli.main import main
else:
    from postroad.cli.postfix.sendmail import main
main()
"""


def send(relay: Relay, number: int, words: str) -> subprocess.CompletedProcess[bytes]:
    """Run sendmail, to be killed at that call; a large number lets it live."""
    command = [sys.executable, "-c", CHILD, str(number), ",".join(CALLS[:8]), "-C", str(relay.config), "a@x.example"]
    return subprocess.run(
        command, input=f"Subject: {words}\n\nhello\n".encode(), capture_output=True, timeout=60, check=False
    )


def waiting(relay: Relay) -> list[str]:
    """The queue ids of everything in the queue."""
    out = subprocess.run(
        [sys.executable, "-c", POSTQUEUE, "-c", str(relay.config), "-j"],
        capture_output=True,
        timeout=60,
        check=True,
    )
    return [json.loads(line)["queue_id"] for line in out.stdout.splitlines()]


def drops(relay: Relay) -> dict[str, int]:
    return {name: len(list((relay.data / "drops" / name).iterdir())) for name in ("new", "taken", "aside")}


def is_done(relay: Relay, server: "subprocess.Popen[bytes]") -> bool:
    """True when the drop is in the spool, or the server is dead."""
    return server.poll() is not None or not any(drops(relay).values())


def test_the_writer_is_killed_at_every_call(tmp_path: Path) -> None:
    relay = Relay(tmp_path / "relay", HOLDING)
    folder = DropFolder(relay.data / "drops")
    folder.prepare()
    durable = 0
    for number in range(100):
        done = send(relay, number, f"n{number}")
        durable += done.returncode == 0
        assert done.returncode in {0, -signal.SIGKILL}, done.stderr
        if done.returncode == 0:
            break
    assert durable == 1
    assert number > 8
    names = folder.arrivals(0)
    assert len(names) >= 1
    for place, name in enumerate(names):
        folder.take(name, f"{place:013}")
        try:
            drop = folder.open(f"{place:013}")
        except DropError:
            pytest.fail("a drop that has its name is not whole")
        assert b"".join(drop.pieces()).endswith(b"\r\n\r\nhello\r\n")
        drop.close()


def test_the_server_is_killed_at_every_call(tmp_path: Path) -> None:
    relay = Relay(tmp_path / "relay", HOLDING)
    folder = DropFolder(relay.data / "drops")
    folder.prepare()
    taken = 0
    for number in range(0, 40, 2):
        assert send(relay, 10_000, f"n{number}").returncode == 0
        taken += 1
        command = [sys.executable, "-c", CHILD, str(number), ",".join(CALLS), "serve", "-c", str(relay.config)]
        with (
            relay.log_file.open("ab") as log,
            subprocess.Popen(command, stdout=log, stderr=log, cwd=relay.folder) as server,
        ):
            wait_until(partial(is_done, relay, server), "the drop is taken or the server killed")
            is_over = server.poll() is None
            server.kill()
        if is_over:
            break
    assert number >= 10, "the server was not killed often enough to mean anything"
    relay.log_file.unlink()
    with relay:
        wait_until(lambda: not any(drops(relay).values()), "every drop is taken")
    assert len(waiting(relay)) == taken
