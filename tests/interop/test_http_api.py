"""The HTTP API of a real server: what is sent arrives, who may not is refused, and every limit holds."""

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email import message_from_bytes, policy
from functools import partial
from pathlib import Path

import pytest

from tests.support.apiclient import KEY, NARROW, READER, Client, api_relay, b64, mail, refused, taken
from tests.support.relay import BODY_CANARY, CAPTURE, Relay, route, wait_until

STRICT = """
[[aliases]]
domains = ["here.example"]
strict = true
entries = { "team@here.example" = ["a@x.example", "b@x.example"] }
"""
SLOW = route("smtp://127.0.0.1:9")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Relay, Client]]:
    folder = tmp_path_factory.mktemp("api")
    (folder / "templates").mkdir()
    (folder / "templates/welcome.subject").write_text("Welcome {{ name }}")
    (folder / "templates/welcome.html").write_text("<p>{{ name }} of {{ shop }}</p>")
    more = '\n[[routes]]\nrecipients = ["held.example"]\nthen = "hold"\n' + CAPTURE
    relay, client = api_relay(folder / "relay", more, options=f'templates = "{folder}/templates"\nbatch = 5\n')
    with relay:
        yield relay, client


def test_a_message_arrives_with_its_trace(served: tuple[Relay, Client]) -> None:
    relay, client = served
    queue_id = taken(client.post(mail(subject="arrives", text=BODY_CANARY)))
    (octets,) = relay.wait_captured(b"Subject: arrives")
    assert f"from shop ([127.0.0.1])\r\n\tby relay.example.com (Postroad) with HTTP id {queue_id}".encode() in octets
    assert message_from_bytes(octets, policy=policy.default)["Message-ID"] == f"<{queue_id}@relay.example.com>"
    (accepted,) = relay.wait_for("MessageAccepted", id=queue_id)
    origin = accepted["origin"]
    assert (origin["login"], origin["ip"], origin["protocol"], origin["listener"]) == (
        "shop",
        "127.0.0.1",
        "HTTP",
        "api",
    )


def test_raw_messages_arrive_octet_by_octet(served: tuple[Relay, Client]) -> None:
    relay, client = served
    raw = b"Subject: raw-one\r\nX-Odd:  kept  \r\n\r\n.dot\r\n\xff\xfe\r\n"
    taken(client.post({"raw": b64(raw), "envelope": {"from": "", "to": ["a@x.example"]}}))
    (octets,) = relay.wait_captured(b"raw-one")
    assert octets.endswith(raw)
    answer = client.ask(
        "POST",
        "/v1/messages?from=a@x.example&to=b@x.example&to=%C3%BC@y.example&notify=never",
        b"Subject: raw-two\n\nhi\n",
        {"Content-Type": "message/rfc822"},
    )
    taken(answer)
    (octets,) = relay.wait_captured(b"raw-two")
    assert octets.endswith(b"Subject: raw-two\r\n\r\nhi\r\n")


def test_curl_sends_files_with_expect(served: tuple[Relay, Client], tmp_path: Path) -> None:
    relay, client = served
    file = tmp_path / "mail.eml"
    file.write_bytes(b"Subject: by-curl\r\n\r\n" + b"x" * 70 + b"\r\n" + b"line of text\r\n" * 200_000)
    command = ["curl", "-sS", "-m", "30", "-H", f"Authorization: Bearer {KEY}", "-H", "Content-Type: message/rfc822"]
    url = f"http://127.0.0.1:{client.port}/v1/messages?from=a@x.example&to=b@x.example"
    for more in ([], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"]):
        done = subprocess.run(
            [*command, *more, "--data-binary", f"@{file}", url], capture_output=True, check=True, timeout=60
        )
        assert "id" in json.loads(done.stdout), done
    assert all(octets.endswith(file.read_bytes()) for octets in relay.wait_captured(b"by-curl", 3))


def test_no_key_no_mail(served: tuple[Relay, Client]) -> None:
    relay, client = served
    for key in ("", "wrong", KEY[:-1], KEY + "x", "ü" * 40):
        connection = Client(client.port, "")
        headers = {"Authorization": f"Bearer {key}".encode().decode("latin-1")} if key else {}
        answer = connection.ask("POST", "/v1/messages", b"{}", headers)
        refused(answer, 401, "unauthorized")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    refused(Client(client.port, "").state("x"), 401)
    assert relay.wait_for("CommandRefused", stage="auth")[0]["reply"]["code"] == 535
    assert all(one["origin"]["login"] for one in relay.records("MessageAccepted"))
    assert KEY[:-1] not in relay.log_file.read_text()


@pytest.mark.parametrize(
    "to",
    [
        "a@elsewhere.example",
        "a%elsewhere.example@here.example",
        "elsewhere.example!a@here.example",
        '"a@elsewhere.example"@here.example',
        "a@[192.0.2.1]",
        "a@[127.0.0.1]",
    ],
)
def test_a_key_without_relay_is_no_open_relay(
    tmp_path_factory: pytest.TempPathFactory, served: tuple[Relay, Client], to: str
) -> None:
    relay, client = served
    narrow = Client(client.port, NARROW)
    for envelope in ({}, {"envelope": {"to": [to]}}):
        answer = narrow.post({**mail(to=[to]), "from": "try@relay.shop.example", **envelope})
        assert "Relay access denied" in refused(answer, 403, "forbidden")
    raw = {
        "raw": b64(b"From: try@relay.shop.example\r\n\r\nhi\r\n"),
        "envelope": {"from": "try@relay.shop.example", "to": [to]},
    }
    refused(narrow.post(raw), 403, "forbidden")
    assert relay.records("MessageAccepted", sender="try@relay.shop.example") == []
    (record, *_) = relay.wait_for("CommandRefused", stage="rcpt", sender="try@relay.shop.example")
    assert (record["origin"]["login"], record["origin"]["listener"]) == ("narrow", "forms")


def test_a_key_sends_as_its_own_senders_alone(served: tuple[Relay, Client]) -> None:
    client = Client(served[1].port, NARROW)
    to = ["postmaster@example.com"]
    taken(client.post({**mail(to=to), "from": "only@example.com"}))
    taken(client.post({**mail(to=to), "from": "x@eu.shop.example"}))
    for sender in ("other@example.com", "x@shop.example", "only@example.com.evil.example"):
        assert "may not send as" in refused(client.post({**mail(to=to), "from": sender}), 403)
    envelope = {"from": "other@example.com"}
    refused(client.post({**mail(to=to), "from": "only@example.com", "envelope": envelope}), 403)
    refused(client.post({**mail(to=to), "from": "only@example.com", "envelope": {"from": ""}}), 403)
    path = {"from": "only@example.com", "to": to}
    for head in (
        b"From: ceo@example.com",
        b"From: <only@example.com>, ceo@example.com",
        b"fRoM :\r\n ceo@example.com",
        b"From: only@example.com\r\nFrom: ceo@example.com",
        b"From: =?utf-8?q?only=40example.com?= <x>",
    ):
        refused(client.post({"raw": b64(head + b"\r\n\r\nhi\r\n"), "envelope": path}), 403)
    taken(client.post({"raw": b64(b"From: Me <only@example.com>\r\n\r\nhi\r\n"), "envelope": path}))


def test_scopes(served: tuple[Relay, Client]) -> None:
    client = served[1]
    refused(Client(client.port, READER).post({**mail(), "from": "reader@example.com"}), 403)
    queue_id = taken(client.post(mail(to=["x@held.example"])))
    assert client.state(queue_id).status == 200
    refused(Client(client.port, READER).state(queue_id), 404, "not-found")
    refused(Client(client.port, NARROW).state(queue_id), 403)
    for path in ("nothing", "0" * 13, "../x", "%2e%2e", "a" * 1000):
        refused(client.state(path), 404)


def test_batch_each_has_its_own_result(served: tuple[Relay, Client]) -> None:
    relay, client = served
    messages = [
        {"to": ["one@x.example"], "variables": {"name": "One"}},
        {"to": ["not an address"]},
        {"to": ["two@x.example"], "variables": {"name": "Two <2>"}},
        {"unknown": True},
        {"to": ["three@x.example"]},
    ]
    defaults = {"from": "shop@example.com", "template": "welcome", "variables": {"shop": "S"}}
    answer = client.batch({"defaults": defaults, "messages": messages})
    assert answer.status == 207
    results = answer.json["results"]
    assert [one["status"] for one in results] == [202, 422, 202, 422, 422]
    assert results[1]["problem"]["errors"][0]["pointer"] == "/messages/1/to/0"
    assert "name" in results[4]["problem"]["detail"]
    relay.wait_captured(b"Subject: Welcome One")
    (octets,) = relay.wait_captured(b"Subject: Welcome Two")
    assert b"Two &lt;2&gt; of S" in octets
    assert client.batch({"messages": [mail(), mail()]}).status == 202
    refused(client.batch({"messages": [mail()] * 6}), 413)
    refused(client.batch({"messages": []}), 422)


def test_idempotency(served: tuple[Relay, Client]) -> None:
    relay, client = served
    first = client.post(mail(subject="once"), Idempotency_Key="once-1")
    again = client.post(mail(subject="once"), Idempotency_Key="once-1")
    assert taken(first) == taken(again)
    assert again.headers["Idempotency-Replayed"] == "true"
    refused(client.post(mail(subject="once!"), Idempotency_Key="once-1"), 422, "idempotency-key-reused")
    batch = {"messages": [mail(subject="once"), {"to": []}, mail(subject="once")]}
    assert client.batch(batch, Idempotency_Key="b").body == client.batch(batch, Idempotency_Key="b").body
    for token in ("", "a b", "x" * 256, "\x7f"):
        refused(client.post(mail(), Idempotency_Key=token), 400)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.post(mail(subject="once"), Idempotency_Key="race"), range(8)))
    assert {one.status for one in answers} <= {202, 409}
    assert len({one.json["id"] for one in answers if one.status == 202}) == 1
    assert all("Retry-After" in one.headers for one in answers if one.status == 409)
    relay.wait_captured(b"Subject: once", 4)
    wait_until(lambda: relay.is_idle() or len(relay.captured()) > 0, "delivered")
    assert len([octets for octets in relay.captured() if b"Subject: once" in octets]) == 4
    mine = {**mail(to=["postmaster@example.com"]), "from": "only@example.com"}
    assert taken(Client(client.port, NARROW).post(mine, Idempotency_Key="once-1")) != taken(first)


def test_every_mistake_is_told(served: tuple[Relay, Client]) -> None:
    client = served[1]
    json_type = {"Content-Type": "application/json"}
    refused(client.ask("POST", "/v1/messages", b"{", json_type), 400, "malformed")
    refused(client.ask("POST", "/v1/messages", b"", json_type), 400)
    refused(client.ask("POST", "/v1/messages", b'{"variables":{"a":' + b"[" * 100_000, json_type), 400)
    refused(client.ask("POST", "/v1/messages", b"[]", json_type), 422)
    refused(client.ask("POST", "/v1/messages", b"{}", {"Content-Type": "text/plain"}), 415)
    refused(client.ask("POST", "/v1/messages", b"{}"), 415)
    refused(client.ask("POST", "/v1/messages", b"{}", {**json_type, "Content-Encoding": "gzip"}), 415)
    refused(client.ask("POST", "/v1/messages/batch", b"x", {"Content-Type": "message/rfc822"}), 415)
    refused(client.ask("POST", "/v1/messages?from=a@b.example", b"x", {"Content-Type": "message/rfc822"}), 422)
    refused(client.ask("POST", "/v1/messages?x=1", b"x", {"Content-Type": "message/rfc822"}), 422)
    for method in ("GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"):
        answer = client.ask(method, "/v1/messages")
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    refused(client.ask("GET", "/"), 404)
    refused(client.ask("GET", "/v1"), 404)
    refused(client.post(mail(to=[])), 422)
    refused(client.post(mail(template="none")), 422)
    refused(client.post(mail(raw="AA==")), 422)
    refused(client.post(mail(envelope={"notify": ["never", "delay"]})), 422)
    refused(client.post(mail(envelope={"envid": "ü"})), 422)
    many = [f"u{number}@x.example" for number in range(1001)]
    refused(client.post(mail(to=many)), 422)
    assert "1001 recipients" in refused(client.post(mail(envelope={"to": many})), 422)
    hops = b"Received: by x; now\r\n" * 60
    refused(client.post({"raw": b64(hops + b"\r\nx"), "envelope": {"from": "", "to": ["a@x.example"]}}), 422)


def test_states(tmp_path: Path) -> None:
    more = '\n[[routes]]\nrecipients = ["held.example"]\nthen = "hold"\n' + route("capture:", recipients=["ok.example"])
    more += '\n[[routes]]\nrecipients = ["no.example"]\nthen = { fail = "550 5.7.1 no" }\n' + SLOW + STRICT
    relay, client = api_relay(tmp_path / "relay", more)
    people = ["a@held.example", "b@ok.example", "c@no.example", "d@down.example"]

    def states() -> dict[str, str]:
        return {one["address"]: one["state"] for one in client.state(queue_id).json["recipients"]}

    wanted = dict(zip(people, ("held", "delivered", "failed", "deferred"), strict=True))
    with relay:
        queue_id = taken(client.post(mail(to=people)))
        wait_until(lambda: states() == wanted, f"{wanted}; now {states()}")
        answer = client.state(queue_id).json
        assert answer["state"] == "queued"
        (late,) = [one for one in answer["recipients"] if one["state"] == "deferred"]
        assert late["next_try"] > answer["accepted"]
        assert "refused" in late["reason"].lower()
        unknown = client.post(mail(to=["team@here.example", "nobody@here.example"]))
        refused(unknown, 422, "refused")
        assert unknown.json["errors"][0]["pointer"] == "/to/1"
        assert unknown.json["errors"][0]["reply"].startswith("550 5.1.1 ")
        expanded = taken(client.post(mail(to=["team@here.example"])))
        wait_until(lambda: len(client.state(expanded).json["recipients"]) == 2, "aliases are seen")
        relay.kill()
        relay.start()
        assert states() == wanted


def test_wrong_keys_are_bounded_and_right_ones_always_count(served: tuple[Relay, Client]) -> None:
    relay, client = served
    wrong = Client(client.port, "wrong")
    wait_until(lambda: wrong.post(mail()).status == 429, "too many wrong keys")
    refused(wrong.post(mail()), 429)
    taken(client.post(mail()))
    assert len(relay.records("CommandRefused", stage="auth")) <= 40


def is_held(client: Client, queue_id: str) -> bool:
    return [one["state"] for one in client.state(queue_id).json["recipients"]] == ["held"]


def test_orders_of_operators_are_seen(tmp_path: Path) -> None:
    relay, client = api_relay(tmp_path / "relay", '\n[[routes]]\nrecipients = ["*"]\nthen = "hold"\n')

    def order(action: str, queue_id: str) -> None:
        command = [sys.executable, "-m", "postroad", "queue", action, queue_id, "-c", str(relay.config)]
        subprocess.run(command, capture_output=True, check=True, timeout=60)

    with relay:
        for action, state in (("drop", "dropped"), ("fail", "failed")):
            queue_id = taken(client.post(mail(envelope={"notify": ["never"]})))
            assert client.state(queue_id).json["recipients"][0]["state"] in {"queued", "held"}  # at once
            relay.wait_for("RecipientHeld", id=queue_id)
            wait_until(partial(is_held, client, queue_id), "held")
            order(action, queue_id)
            found = client.state(queue_id).json
            assert found["state"] == "done"
            assert [one["state"] for one in found["recipients"]] == [state]
