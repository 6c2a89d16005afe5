"""Limits of the HTTP API: too much is refused politely, and a reload and a stop lose nothing."""

import json
import socket
import subprocess
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.apiclient import KEY, Client, api_relay, mail, refused, taken
from tests.support.relay import CAPTURE, wait_until

HOLD = '\n[[routes]]\nrecipients = ["*"]\nthen = "hold"\n'
HEAD = (
    f"POST /v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
    "Content-Length: %d\r\n\r\n"
)
NARROW_LIMITS = """
requests = 9
request_size = "64KiB"
memory = "128KiB"
connections = 12
request_timeout = "5s"
"""


def test_too_many_at_one_time(tmp_path: Path) -> None:
    relay, client = api_relay(tmp_path / "relay", options=NARROW_LIMITS)

    def connect() -> socket.socket:
        return stack.enter_context(socket.create_connection(("127.0.0.1", client.port), timeout=30))

    def begin(length: int) -> socket.socket:
        one = connect()
        one.sendall((HEAD % length).encode())
        return one

    with relay, ExitStack() as stack:
        waiting = [begin(10) for _ in range(8)]
        wait_until(lambda: client.post(mail()).status == 429, "the key has 8 requests running")
        assert all(one.recv(65536).startswith(b"HTTP/1.1 408 ") for one in waiting)  # nobody waits for ever
        taken(client.post(mail()))
        waiting = [begin(65536), begin(65536)]
        wait_until(lambda: client.post(mail()).status == 503, "all memory is taken")
        for one in waiting:
            one.close()
        wait_until(lambda: client.post(mail()).status == 202, "memory is given back")
        assert begin(65537).recv(65536).startswith(b"HTTP/1.1 413 ")
        idle = [connect() for _ in range(14)]
        wait_until(lambda: any(is_full(one) for one in idle), "a connection too many is told so")


def is_full(one: socket.socket) -> bool:
    one.settimeout(0.2)
    try:
        return one.recv(1000).startswith(b"HTTP/1.1 503 ")
    except TimeoutError:
        return False


def test_disk_full_is_507(tmp_path: Path) -> None:
    relay, client = api_relay(tmp_path / "relay", CAPTURE + '\n[spool]\nfree_space = "900TiB"\n')
    with relay:
        relay.wait_for("SpoolFull")
        answer = client.post(mail(), Idempotency_Key="a")
        refused(answer, 507, "no-storage")
        assert int(answer.headers["Retry-After"]) > 0


def test_reload_takes_keys_in_and_out(tmp_path: Path) -> None:
    relay, client = api_relay(tmp_path / "relay")
    with relay:
        taken(client.post(mail()))
        text = relay.config.read_text()
        relay.config.write_text(text.replace(KEY, "z" * 40))
        subprocess.run(["kill", "-HUP", str(relay.pid)], check=True)
        relay.wait_for("ConfigReloaded")
        refused(client.post(mail()), 401)
        taken(Client(client.port, "z" * 40).post(mail()))
        relay.config.write_text(text.replace(KEY, "short"))
        subprocess.run(["kill", "-HUP", str(relay.pid)], check=True)
        (record,) = relay.wait_for("ConfigRefused")
        assert "short" not in json.dumps(record)
        taken(Client(client.port, "z" * 40).post(mail()))
        relay.config.write_text(text.replace(f"127.0.0.1:{client.port}", "127.0.0.1:1"))
        subprocess.run(["kill", "-HUP", str(relay.pid)], check=True)
        relay.wait_for("ConfigReloaded", 2)
        assert any("api.bind" in kept for kept in relay.records("ConfigReloaded")[1]["kept"])


@pytest.mark.parametrize("log", ["text", "postfix"])
def test_other_logs_have_it_too(tmp_path: Path, log: str) -> None:
    relay, client = api_relay(tmp_path / "relay", log=log)
    with relay:
        queue_id = taken(client.post(mail()))
        refused(Client(client.port, "wrong").post(mail()), 401)
        wait_until(lambda: "535 5.7.8" in relay.log_file.read_text(), "the refusal is logged")
        text = relay.log_file.read_text()
        assert queue_id in text
        assert "shop" in text
        assert KEY not in text


def test_a_running_request_ends_before_the_server_does(tmp_path: Path) -> None:
    relay, client = api_relay(tmp_path / "relay", HOLD)
    body = json.dumps(mail()).encode()
    with relay, socket.create_connection(("127.0.0.1", client.port), timeout=30) as peer:
        peer.sendall((HEAD % len(body)).replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n").encode())
        assert peer.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"  # it is read now
        peer.sendall(body[:-1])
        stopping = threading.Thread(target=relay.stop)
        stopping.start()
        relay.wait_for("ServerStopping")
        peer.sendall(body[-1:])
        assert peer.recv(65536).startswith(b"HTTP/1.1 202 ")
        stopping.join()
