"""kill -9 at every step of a request with an Idempotency-Key: repeating it gives each message exactly once.

A child counts what it does to the file of requests and to the disk from the moment it begins with the wanted request,
and kills itself at the wanted step. The next server is asked the same again, is answered, and delivers into a folder:
there each message lies once, whatever had been delivered before the kill.
"""

import http.client
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.apiclient import Client, api_relay, mail
from tests.support.relay import Relay, greets, wait_until

CHILD = """
import os, signal, sys
number, wanted = int(sys.argv.pop(1)), sys.argv.pop(1)
begun, count = [False], [0]
def step():
    if begun[0]:
        if count[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        count[0] += 1
def counted(call):
    def run(*arguments, **options):
        if call is beginning and arguments[2] == wanted:
            begun[0] = True
        step()
        answer = call(*arguments, **options)
        step()
        return answer
    return run
from postroad.store.sent import Sent
beginning = Sent.begin
for name in ("begin", "expect", "accepted", "finish", "note"):
    setattr(Sent, name, counted(getattr(Sent, name)))
for name in ("fdatasync", "pwritev", "write", "rename"):
    setattr(os, name, counted(getattr(os, name)))
from postroad.cli.main import main
main()
"""
STEPS = 60


def start(relay: Relay, step: int, token: str) -> "subprocess.Popen[bytes]":
    """A server that kills itself at that step of the request with `token`."""
    command = [sys.executable, "-c", CHILD, str(step), token, "serve", "-c", str(relay.config)]
    with relay.log_file.open("ab") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=relay.folder)
    wait_until(lambda: greets(relay.port) or server.poll() is not None, "the server greets")
    return server


def asked(client: Client, name: str) -> list[str]:
    """The queue ids that the server gives for one message or a batch; none when it died."""
    try:
        if name.startswith("b"):
            messages = {"messages": [mail(subject=f"{name}-{at}-") for at in range(3)]}
            answer = client.batch(messages, Idempotency_Key=name)
            assert answer.status == 202, answer
            return [one["id"] for one in answer.json["results"]]
        answer = client.post(mail(subject=f"{name}-0-"), Idempotency_Key=name)
        assert answer.status == 202, answer
        return [answer.json["id"]]
    except (OSError, http.client.HTTPException):
        return []


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["single", "batch"])
def test_every_message_is_sent_once(tmp_path: Path, kind: str, long_mode: bool) -> None:
    relay, client = api_relay(tmp_path / "relay")
    answers: dict[str, list[str]] = {}
    killed = 0
    before = ""
    for step in range(0, STEPS, 1 if long_mode else 2):
        server = start(relay, step, name := f"{kind[0]}{step:02}")
        try:
            if before:
                again = asked(client, before)
                assert again, f"{before} has no answer from a server that lives"
                assert answers[before] in ([], again), f"{before} had another answer before"
                answers[before] = again
            answers[name] = asked(client, name)
            is_dead = not answers[name] or server.poll() is not None
        finally:
            server.kill()
            server.wait(30)
        killed += is_dead
        before = name
        if not is_dead and step > 12:
            break
    else:
        pytest.fail("a request has more steps than were tried")
    assert killed >= 6, "the server was not killed often enough to mean anything"
    relay.log_file.unlink()
    with relay:
        assert asked(client, before) == answers[before]
        marks = [f"Subject: {name}-{at}-".encode() for name, ids in answers.items() for at in range(len(ids))]
        for mark in marks:
            relay.wait_captured(mark)
        found = relay.captured()
        assert [sum(mark in octets for octets in found) for mark in marks] == [1] * len(marks)
