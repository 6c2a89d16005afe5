"""An upgrade hands the API's socket over: whoever connects meanwhile waits and is answered, and keys go on to count."""

import subprocess
import sys
from pathlib import Path

from tests.support.apiclient import api_relay, mail, taken


def test_the_socket_of_the_api_is_handed_over(tmp_path: Path) -> None:
    relay, client = api_relay(tmp_path / "relay")
    with relay:
        first = taken(client.post(mail(), Idempotency_Key="a"))
        subprocess.run(
            [sys.executable, "-m", "postroad", "upgrade", "-c", str(relay.config)],
            capture_output=True,
            check=True,
            timeout=100,
        )
        assert taken(client.post(mail(), Idempotency_Key="a")) == first
        taken(client.post(mail()))
        relay.wait_for("ServerStarted", 2)
