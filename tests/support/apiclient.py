"""A client of the HTTP API over the standard library, and the configuration of a relay that has one."""

import base64
import http.client
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from postroad.api.problem import ApiError
from tests.support.ports import free_port
from tests.support.relay import CAPTURE, Relay

KEY = "k" * 20 + "0123456789abcdefghij"  # may do everything
NARROW = "n" * 20 + "0123456789abcdefghij"  # one sender, local domains, no reading
READER = "r" * 20 + "0123456789abcdefghij"  # reading alone
SECONDS = 30.0

SECTION = """
[api]
bind = ["127.0.0.1:{port}"]
{more}
[api.keys.shop]
key = "{key}"
senders = ["*", "<>"]

[api.keys.narrow]
key = "{narrow}"
senders = ["only@example.com", "*.shop.example"]
relay = false
read = false
listener = "forms"

[api.keys.reader]
key = "{reader}"
senders = ["reader@example.com"]
inject = false
"""


class Answer(NamedTuple):
    """What the server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Client:
    """Speaks to the API at a loopback port with one key."""

    def __init__(self, port: int, key: str = KEY) -> None:
        self.port = port
        self.key = key

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        given = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        try:
            connection.request(method, path, body, {**given, **(headers or {})})
            response = connection.getresponse()
            return Answer(response.status, dict(response.headers.items()), response.read())
        finally:
            connection.close()

    def post(self, message: object, path: str = "/v1/messages", **headers: str) -> Answer:
        """POST `message` as JSON; `headers` with underscores for hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", path, json.dumps(message).encode(), {"Content-Type": "application/json", **named})

    def batch(self, messages: object, **headers: str) -> Answer:
        """POST several."""
        return self.post(messages, "/v1/messages/batch", **headers)

    def state(self, queue_id: str) -> Answer:
        """GET the state of a message."""
        return self.ask("GET", f"/v1/messages/{queue_id}")


def api_relay(folder: Path, more: str = CAPTURE, *, options: str = "", log: str = "json") -> tuple[Relay, Client]:
    """A relay with an API, not started; `options` are of `[api]`."""
    port = free_port()
    section = SECTION.format(port=port, key=KEY, narrow=NARROW, reader=READER, more=options)
    return Relay(folder, more + section, log=log), Client(port)


def mail(**parts: object) -> dict[str, object]:
    """A small message."""
    return {"from": "shop@example.com", "to": ["a@example.net"], "subject": "Hello", "text": "hello\n", **parts}


def b64(octets: bytes) -> str:
    """As JSON has it."""
    return base64.b64encode(octets).decode()


def taken(answer: Answer) -> str:
    """The queue id of what must have been taken."""
    assert answer.status == 202, answer
    queue_id = answer.json["id"]
    assert answer.headers["Location"] == f"/v1/messages/{queue_id}"
    assert isinstance(queue_id, str)
    return queue_id


def refused(answer: Answer, status: int, kind: str = "") -> str:
    """The words of a problem that must have this status, and this type if given."""
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["status"] == status
    assert not kind or answer.json["type"] == kind
    return str(answer.json.get("detail", ""))


def sound_problem(error: ApiError) -> None:
    """A problem that says that the request is wrong, and nothing else."""
    problem = error.problem
    assert problem.status in {400, 413, 422}
    assert problem.type
    assert problem.title
