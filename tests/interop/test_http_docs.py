"""The samples of docs/howto/send-by-http.md, run as they stand there against a server of their configuration."""

import json
import os
import re
import subprocess
from pathlib import Path

from tests.meta.source import TOP
from tests.support.apiclient import KEY, api_relay, mail
from tests.support.relay import CAPTURE

PAGE = (TOP / "docs/howto/send-by-http.md").read_text(encoding="utf-8")
SAMPLES = [text for text in re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) if "curl" in text]
TEMPLATE = re.findall(r"^```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[0]


def test_every_sample_is_answered_as_told(tmp_path: Path) -> None:
    templates = tmp_path / "templates"
    templates.mkdir()
    (templates / "welcome.subject").write_text("Welcome")
    (templates / "welcome.text").write_text(TEMPLATE)
    (tmp_path / "message.eml").write_bytes(b"From: shop@example.com\nSubject: whole\n\nhi\n")
    relay, client = api_relay(tmp_path / "relay", CAPTURE, options=f'templates = "{templates}"\n')
    with relay:
        known = client.post(mail()).json["id"]
        found = []
        for text in SAMPLES:
            script = text.replace("127.0.0.1:8026", f"127.0.0.1:{client.port}").replace("3Pt2mN2VXxznj", known)
            done = subprocess.run(
                ["sh", "-ec", script.replace("curl ", "curl -sS -m 30 ", 1)],
                capture_output=True,
                cwd=tmp_path,
                env={**os.environ, "KEY": KEY},
                timeout=60,
                check=True,
            )
            found.append(json.loads(done.stdout))
        one, raw, batch, state = found
        assert one["id"]
        assert raw["id"]
        assert [result["status"] for result in batch["results"]] == [202, 202]
        assert state["id"] == known
        relay.wait_captured(b"Hello Anna, welcome to The Shop!")
        relay.wait_captured(b"Hello Bert, welcome to The Shop!")
        (order,) = relay.wait_captured(b"Subject: Your order")
        assert b"cid:logo" in order
        relay.wait_captured(b"Subject: whole")
