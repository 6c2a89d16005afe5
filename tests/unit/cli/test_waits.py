"""Why a recipient waits: the typed reason, from its row and the lanes of the server; and seen in a running server."""

import json
import smtplib
import socketserver
import threading
from pathlib import Path
from typing import Self

import pytest

from postroad.cli.layout import never
from postroad.cli.queue.waits import ASKED, Cause, Live, Reasons, Wait, lane_wait, wait_of
from postroad.config.schema import Config
from postroad.desk.protocol import LaneNow
from postroad.model.suspension import NEXT_HOP, Suspension
from postroad.model.work import Place, Status
from postroad.queue.lane import WaitReason
from postroad.spool.filters import DUE, READY
from postroad.spool.listing import Listed, ListedRecipient
from tests.support.command import run_command
from tests.support.ports import free_port
from tests.support.relay import Relay, route, wait_until
from tests.support.sink import Sink

NOW = 1_700_000_000_000_000
LATER = NOW + 60_000_000
LANE = "mx:example.net"
ID = "3Pt2mN2VXxznj"
PAGE = Path(__file__).parents[3] / "docs" / "howto" / "operate-the-queue.md"
TEXT = "Subject: Hello\r\n\r\nIt waits.\r\n"


def row(status: Status = Status.PENDING, *, due: int = NOW, leased: bool = False, reply: str = "") -> ListedRecipient:
    return ListedRecipient(0, "bob@example.net", LANE, due, None, status, 1, False, reply, leased)


def lane(wait: WaitReason, *, until: int = 0, reason: str = "", delivering: int = -1) -> Live:
    return Live({LANE: LaneNow(LANE, 1, 1, 5, until, reason, wait.value)}, frozenset({(ID, delivering)}))


DOWN = Live(fault="the server does not run: nobody listens")


@pytest.mark.parametrize(
    ("recipient", "live", "expected"),
    [
        (row(Status.DELIVERED), Live(), None),
        (row(Status.HELD, reply="held by root: spam?"), DOWN, Wait(Cause.HELD, "held by root: spam?")),
        (row(), DOWN, Wait(Cause.SERVER, DOWN.fault)),
        (row(due=LATER), DOWN, Wait(Cause.RETRY, "its next try is not due yet", LATER)),
        (row(due=LATER), Live(), Wait(Cause.RETRY, "its next try is not due yet", LATER)),
        (row(), Live(), Wait(Cause.MEMORY, "it waits in the spool for its turn")),
        (row(leased=True), lane(WaitReason.RATE, delivering=0), Wait(Cause.DELIVERING, "it is being delivered")),
        (row(leased=True), lane(WaitReason.NOTHING), Wait(Cause.BUSY, "it is in memory, and its turn comes next")),
        (
            row(),
            lane(WaitReason.LANE_SUSPENDED, until=LATER, reason="refused"),
            Wait(Cause.SUSPENDED, "the next hop is suspended: refused", LATER),
        ),
        (
            row(leased=True),
            lane(WaitReason.RATE, until=LATER, reason="shaping[0].rates: 2/hour"),
            Wait(Cause.RATE, "a rate that a shaping rule sets is used up: shaping[0].rates: 2/hour", LATER),
        ),
        (
            row(due=LATER, leased=True),
            lane(WaitReason.GLOBAL_LIMIT),
            Wait(Cause.DELIVERIES, "all connections are in use"),
        ),
    ],
)
def test_the_reason(recipient: ListedRecipient, live: Live, expected: Wait | None) -> None:
    assert wait_of(ID, recipient, live, never, NOW) == expected


def test_what_an_operator_has_stopped_comes_first() -> None:
    one = Suspension(NEXT_HOP, "example.net", LATER, "root", NOW, "their wish")
    found = wait_of(ID, row(due=LATER), Live(), lambda _: one, NOW)
    assert found is not None
    assert (found.cause, found.until) == (Cause.STOPPED, LATER)
    assert "their wish" in found.words


def test_every_wait_of_a_lane_has_a_cause() -> None:
    for reason in set(WaitReason) - {WaitReason.NOTHING}:
        found = lane_wait(lane(reason).lanes[LANE])
        assert found is not None, reason
        assert found.words == reason.value
    assert lane_wait(LaneNow(LANE, wait="something of another version")) == Wait(
        Cause.OTHER, "something of another version"
    )


def test_every_cause_is_explained() -> None:
    page = PAGE.read_text()
    assert [cause for cause in Cause if f"| `{cause}` |" not in page] == []


def test_what_lists_can_be_asked_for_are_the_words_that_they_print(tmp_path: Path) -> None:
    of_memory = {READY, DUE}  # coarser: of one in memory or due, its next hop says more
    assert set(ASKED) - of_memory <= {cause.value for cause in Cause}
    assert set(Cause) - set(ASKED) == {Cause.DELIVERING, Cause.MEMORY, Cause.SERVER, Cause.OTHER}
    relay = Relay(tmp_path, "")
    done = run_command("queue", "list", "--reason", "scheduled", "-c", relay.config)
    assert done.code == 64
    assert "'scheduled' is not one of held, ready, due, retry, " in done.err.replace("\n", " ")
    for reason in ASKED:
        done = run_command("queue", "list", "--reason", reason, "-c", relay.config)
        assert "is not one of" not in done.err
    page = PAGE.read_text()
    assert [word for word in of_memory if f"`{word}` for what" not in page] == []


def wait(relay: Relay, queue_id: str) -> dict[str, object]:
    """Of the one recipient of a message."""
    done = run_command("queue", "show", queue_id, "--json", "-c", relay.config)
    assert done.code == 0, done.err
    (recipient,) = json.loads(done.out)["recipients"]
    found: dict[str, object] = recipient["wait"]
    return found


def listed(relay: Relay, *filters: str) -> dict[str, str]:
    """The causes that a list tells, of messages to one recipient each."""
    done = run_command("queue", "list", "--json", *filters, "-c", relay.config)
    assert done.code == 0, done.err
    messages = [json.loads(line) for line in done.out.splitlines()]
    return {message["id"]: message["recipients"][0]["wait"]["cause"] for message in messages}


def send(relay: Relay, *recipients: str) -> None:
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as client:
        client.sendmail("me@example.com", recipients, TEXT)


def test_a_running_server_tells_of_rates_and_pauses_and_one_that_does_not_run_says_so(tmp_path: Path) -> None:
    rule = '[[shaping]]\nmx = ["127.0.0.*"]\nper = "lane"\nrates = ["1/hour"]\n'
    with Sink() as sink:
        hops = route(f"smtp://127.0.0.1:{sink.port}", recipients=["a.example"])
        hops += route(f"smtp://127.0.0.1:{free_port()}") + rule
        relay = Relay(tmp_path, hops)
        with relay:
            send(relay, "first@a.example")
            relay.wait_for("RecipientDelivered")
            send(relay, "second@a.example")
            send(relay, "third@b.example")
            (_, second, third) = [record["id"] for record in relay.wait_for("MessageAccepted", 3)]
            wait_until(lambda: wait(relay, second)["cause"] == "rate", "the rate")
            assert "shaping[0].rates: 1/hour" in str(wait(relay, second)["words"])
            wait_until(lambda: wait(relay, third)["cause"] in ("retry", "suspended"), "the refusal")
            assert listed(relay, "--reason", "rate") == {second: "rate"}
            assert listed(relay, "--recipient", "second@a.example") == {second: "rate"}
            assert listed(relay, "--reason", "concurrency") == {}
            assert run_command("queue", "suspend", "--next-hop", "127.0.0.1", "-c", relay.config).code == 0
            assert listed(relay, "--reason", "stopped") == {second: "stopped", third: "stopped"}
            assert "    stopped      second@a.example  pending" in run_command("queue", "list", "-c", relay.config).out
            assert wait(relay, second)["cause"] == "stopped"
            told = run_command("explain", "--to", "other@a.example", "-c", relay.config).out.splitlines()
            (line,) = [line for line in told if "suspended by" in line]
            assert line.startswith("stopped   next-hop 127.0.0.1 suspended by ")
            assert run_command("queue", "resume", "--next-hop", "*", "-c", relay.config).code == 0
            assert listed(relay, "--reason", "stopped") == {}
            wait_until(lambda: wait(relay, second)["cause"] == "rate", "the rate, again")
            shown = run_command("queue", "show", second, "-c", relay.config).out
            assert "waits      rate: a rate that a shaping rule sets is used up: " in shown
            told = run_command("explain", "--to", "other@a.example", "-c", relay.config).out.splitlines()
            assert any(line.startswith("now       1 wait, 0 of ") for line in told)
            assert any(line.startswith("waits     rate: ") for line in told)
        assert wait(relay, second)["cause"] == "server"
        assert listed(relay)[second] == "server"
        assert run_command("queue", "list", "--reason", "rate", "-c", relay.config).code == 69
        assert wait(relay, third)["cause"] in ("server", "retry")


def test_what_is_used_up_of_a_long_rate_stays_used_up_over_a_restart(tmp_path: Path) -> None:
    rule = '[[shaping]]\nmx = ["127.0.0.*"]\nrates = ["1/day"]\n'
    with Sink() as sink, Relay(tmp_path, route(f"smtp://127.0.0.1:{sink.port}") + rule) as relay:
        send(relay, "first@a.example")
        relay.wait_for("RecipientDelivered")
        assert relay.stop() == 0
        relay.start()
        send(relay, "second@a.example")
        second = relay.wait_for("MessageAccepted", 2)[-1]["id"]
        wait_until(lambda: listed(relay) == {second: "rate"}, "the rate")
        assert len(sink.mails) == 1


class Asked:
    """A control socket that answers every question with nothing, and counts them."""

    def __init__(self, path: Path) -> None:
        self.questions: list[dict[str, object]] = []
        self._server = socketserver.ThreadingUnixStreamServer(str(path), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def _handler(self) -> type[socketserver.StreamRequestHandler]:
        questions = self.questions

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                questions.append(json.loads(self.rfile.readline()))
                self.wfile.write(b'{"done":true}\n')

        return Handler

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def message(number: int, recipient: ListedRecipient) -> Listed:
    return Listed(f"{number:013}", "me@example.com", 1, NOW, Place("main", 1, 0, 1), [recipient])


def test_a_list_asks_once_for_what_the_server_decides_and_not_at_all_for_the_rest(tmp_path: Path) -> None:
    facts = {"hostname": "relay.example.com", "data_dir": str(tmp_path), "listeners": {"test": {"bind": ["[::1]:25"]}}}
    config = Config.model_validate(facts)
    with Asked(config.control_socket) as server:
        reasons = Reasons(config, never, NOW)
        rest = [message(number, row(due=LATER)) for number in range(1000)]
        assert {found[0].cause for found in reasons.of(rest)} == {Cause.RETRY}
        assert server.questions == []
        up = [message(number, row(leased=number == 7)) for number in range(1000)]
        assert [found[0].cause for found in reasons.of(up)].count(Cause.MEMORY) == 999
        assert server.questions == [{"do": "lanes", "names": [LANE], "ids": [f"{7:013}"]}]
    config.control_socket.unlink()
    assert {found[0].cause for found in reasons.of(up)} == {Cause.SERVER}
    with Asked(config.control_socket) as server:
        assert {found[0].cause for found in reasons.of(up)} == {Cause.SERVER}
        assert server.questions == []
