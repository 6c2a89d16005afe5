"""The OpenAPI document against the real server: schemathesis sends what it allows and forbids, and reads the answers.

Valid by the document is not all: an address has to be one, a key may send as some only. So 422 is no contradiction to
it; and in a batch a message that is none has its own result, which is a 207.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.apiclient import KEY, api_relay

DISCARD = '\n[[routes]]\nrecipients = ["*"]\nthen = "discard"\n'
CONFIG = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 404, 422]
[checks.negative_data_rejection]
expected-statuses = [207, 400, 401, 404, 405, 413, 415, 422]
"""


@pytest.mark.timeout(3100)
def test_the_server_does_what_its_document_says(tmp_path: Path, long_mode: bool) -> None:
    relay, client = api_relay(tmp_path / "relay", DISCARD)
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    with relay:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(tmp_path / "schemathesis.toml")),
                *("run", f"http://127.0.0.1:{client.port}/openapi.json", "-H", f"Authorization: Bearer {KEY}"),
                *("--max-examples", "500" if long_mode else "20", "--seed", "1", "--no-color"),
                *("--generation-database", "none", "--suppress-health-check", "all"),
            ],
            capture_output=True,
            text=True,
            timeout=3000 if long_mode else 300,
            check=False,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
        assert "3 tested" in done.stdout or "Tested: 3" in done.stdout, done.stdout[-3000:]
        assert relay.wait_for("MessageAccepted"), "nothing that the document allows was taken"
