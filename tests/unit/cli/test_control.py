"""A server that goes while it is asked: that is said, and is no success."""

import socket
import threading
from pathlib import Path

import pytest

from tests.support.command import run_command
from tests.support.relay import CONFIGURATION


@pytest.mark.parametrize("reads", [0, 10])
def test_a_server_that_goes_while_it_is_asked_has_not_answered(tmp_path: Path, reads: int) -> None:
    config = tmp_path / "postroad.toml"
    config.write_text(CONFIGURATION.format(data=f'"{tmp_path}"', port=2599, log="json"))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "control.sock"))
        listener.listen(1)

        def leave() -> None:
            for _ in range(20):
                peer, _address = listener.accept()
                with peer:
                    peer.recv(reads, socket.MSG_WAITALL if reads else 0)

        leaving = threading.Thread(target=leave, daemon=True)
        leaving.start()
        for _ in range(20):
            done = run_command("queue", "retry", "--all", "--yes", "-c", config)
            assert (done.code, done.out) == (69, "")
            assert done.err == "postroad: the server ended before it had answered\n"
        leaving.join(10)
