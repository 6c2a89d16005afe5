"""The queue commands that act, on a real server: on one id, many, a filter; dry; with the server down."""

import io
import json
import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.command import Done, run_command
from tests.support.ports import free_port
from tests.support.relay import Relay, route, wait_until

_TEXT = "Subject: Hello\r\nX-Note: a\tb\r\n\r\nIt waits.\r\n"


def run(relay: Relay, *arguments: object) -> Done:
    return run_command("queue", *arguments, "-c", relay.config)


def listed(relay: Relay, *arguments: object) -> list[dict[str, object]]:
    done = run(relay, "list", "--json", *arguments)
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


def ids(relay: Relay, *arguments: object) -> list[str]:
    return [str(one["id"]) for one in listed(relay, *arguments)]


def counted(relay: Relay, *arguments: object) -> tuple[int, int]:
    found = json.loads(run(relay, "list", "--count", "--json", *arguments).out)
    return found["messages"], found["recipients"]


@contextmanager
def filled(folder: Path) -> Iterator[Relay]:
    """A server whose next hop refuses every connection, with six messages for nine recipients."""
    with Relay(folder, route(f"smtp://127.0.0.1:{free_port()}")) as running:
        with smtplib.SMTP("127.0.0.1", running.port) as client:
            for number in range(6):
                recipients = [f"user{number}@example.net", f"b{number}@example.org"][: 1 + number % 2]
                client.sendmail(f"s{number}@example.com", recipients, _TEXT)
        wait_until(lambda: run(running, "list").out.count("refused") >= 9, "the first tries")
        wait_until(lambda: counted(running, "--next-hop", "127.0.0.1") == (6, 9), "the index")
        yield running


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Relay]:
    """A server to change."""
    with filled(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A server that no test changes."""
    with filled(tmp_path_factory.mktemp("relay")) as running:
        yield running


def test_hold_and_release_by_id_ids_and_filter(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, *_ = ids(relay)
    done = run(relay, "hold", first, "--because", "a test")
    assert (done.code, done.out) == (0, "hold: 1 recipient of 1 message\n")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{first}\n{second}\n"))
    done = run(relay, "hold", "-")
    assert done.out == "hold: 2 recipients of 1 message; 1 recipient left as they were\n"
    assert ids(relay, "--status", "held") == [first, second]
    assert "held by " in run(relay, "show", first).out
    assert json.loads(run(relay, "release", "--status", "held", "--json").out)["recipients"] == 3
    assert counted(relay, "--status", "held") == (0, 0)
    (acted, *_) = relay.wait_for("OperatorActed", 3)
    assert (acted["action"], acted["selection"], acted["reason"]) == ("hold", first, "a test")
    assert {one["id"] for one in relay.records("RecipientHandled", action="release")} == {first, second}


def test_a_dry_run_changes_nothing_and_works_with_the_server_down(relay: Relay) -> None:
    done = run(relay, "drop", "--domain", "example.org", "--dry-run")
    assert (done.code, done.out) == (0, "drop: 3 recipients of 3 messages; nothing was changed\n")
    assert counted(relay) == (6, 9)
    assert relay.stop() == 0
    assert run(relay, "drop", "--domain", "example.org", "--dry-run").out == done.out
    assert run(relay, "drop", "--domain", "example.org").code == 69
    assert run(relay, "suspend", "--next-hop", "x").code == 69
    assert run(relay, "list", "--site", "x").code == 69
    assert not (relay.data / "control.sock").exists()
    assert counted(relay) == (6, 9)


def test_drop_fail_and_reroute(relay: Relay) -> None:
    assert run(relay, "drop", "--domain", "example.org").code == 0
    assert counted(relay) == (6, 6)
    failed = ids(relay)[0]
    assert run(relay, "fail", failed, "--because", "no such project").code == 0
    (told,) = relay.wait_for("DsnQueued")
    assert (told["id"], told["to"]) == (failed, "s0@example.com")
    assert failed not in ids(relay)
    content = run_raw(relay, str(told["report"]))
    assert b"failed by the operator: no such project" in content
    done = run(relay, "reroute", "--to", "capture:", "--sender", "s1@example.com")
    assert done.code == 0
    (mail,) = relay.wait_captured(b"It waits.")
    assert b"user1@example.net" in mail


def run_raw(relay: Relay, queue_id: str) -> bytes:
    return next(
        segment.read_bytes()[at:]
        for segment in sorted((relay.data / "spool").rglob("seg-*"))
        if (at := segment.read_bytes().find(queue_id.encode())) >= 0
    )


def test_show_has_header_and_trail(unchanged: Relay) -> None:
    relay = unchanged
    queue_id = ids(relay)[0]
    lines = run(relay, "show", queue_id).out.splitlines()
    assert any(line.startswith("attempt    ") and line.endswith("connection refused") for line in lines)
    assert "header     Subject: Hello" in lines
    shown = json.loads(run(relay, "show", queue_id, "--json").out)
    (attempt, *_) = shown["recipients"][0]["trail"]
    assert attempt["reply"].endswith("connection refused")
    assert "Subject: Hello" in shown["header"]


def test_suspend_survives_a_restart_and_is_shown(relay: Relay) -> None:
    done = run(relay, "suspend", "--next-hop", "127.0.0.1", "--for", "2h", "--because", "their disk")
    assert done.code == 0
    assert done.out.startswith("suspended next-hop 127.0.0.1 for 2h\n")
    assert relay.stop() == 0
    assert "127.0.0.1" in run(relay, "suspended").out
    relay.start()
    (one,) = [json.loads(line) for line in run(relay, "suspended", "--json").out.splitlines()]
    assert (one["kind"], one["name"], one["reason"]) == ("next-hop", "127.0.0.1", "their disk")
    wait_until(lambda: "suspended by" in run(relay, "list").out, "mail back from memory")
    assert run(relay, "resume", "--next-hop", "127.0.0.1").out == "resumed next-hop 127.0.0.1\n"
    assert run(relay, "resume", "--next-hop", "127.0.0.1").code == 66
    assert run(relay, "suspended").out == ""


def test_a_route_with_a_name_can_be_named_by_its_place(tmp_path: Path) -> None:
    with Relay(tmp_path, '[[routes]]\nname = "out"\nnext_hops = ["capture:"]\n') as relay:
        assert run(relay, "suspend", "--route", "1").out == "suspended route out for 1h\n"
        assert run(relay, "resume", "--route", "1").out == "resumed route out\n"


def test_groups_shape_and_top(unchanged: Relay) -> None:
    relay = unchanged
    assert run(relay, "list", "--group-by", "domain").out.split() == ["6", "example.net", "3", "example.org"]
    (row, *_) = [json.loads(line) for line in run(relay, "list", "--group-by", "next-hop", "--json").out.splitlines()]
    assert row["recipients"] == 9
    head, total, first, *_ = run(relay, "shape").out.splitlines()
    assert head.split()[:3] == ["T", "5", "10"]
    assert total.split()[:3] == ["TOTAL", "9", "9"]
    assert first.split()[:2] == ["example.net", "6"]
    views = run(relay, "top", "--rounds", "1", "--interval", "0.2", "--json")
    view = json.loads(views.out)
    assert view["activity"]["messages"] == 6
    assert sum(view["waiting"].values()) == 9
    assert "in/s" in run(relay, "top", "--rounds", "1", "--interval", "0.2").out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["hold"], 64),
        (["hold", "--all", "--domain", "x"], 64),
        (["hold", "--domain", "nowhere.example"], 66),
        (["hold", "0123456789BCD"], 66),
        (["drop", "--older", "soon"], 64),
        (["drop", "--larger", "big"], 64),
        (["reroute", "--all"], 64),
        (["reroute", "--all", "--to", "ftp://x"], 64),
        (["suspend"], 64),
        (["suspend", "--site", "a", "--route", "b"], 64),
        (["suspend", "--site", "a", "--for", "soon"], 64),
        (["suspend", "--site", "a", "--for", "0s"], 64),
        (["suspend", "--route", "2"], 64),
        (["suspend", "--route", "no*"], 64),
        (["list", "--reason", "nonsense"], 64),
    ],
)
def test_wrong_command_lines_change_nothing(arguments: list[str], code: int, unchanged: Relay) -> None:
    done = run(unchanged, *arguments)
    assert done.code == code, done
    assert counted(unchanged) == (6, 9)
