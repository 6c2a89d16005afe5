"""The queue in Postfix's words: which queue, marks, reasons, and what does not print."""

import json

import pytest

from postroad.cli.postfix.mailqformat import block, json_line, queue_name, total
from postroad.cli.postfix.postqueue import run as postqueue
from postroad.cli.postfix.postsuper import run as postsuper
from postroad.model.work import Place, Status
from postroad.spool.listing import Listed, ListedRecipient, Stats

NOW = 1_790_000_000_000_000


def recipient(
    address: str = "b@example.net",
    *,
    status: Status = Status.PENDING,
    attempts: int = 0,
    reply: str = "",
    leased: bool = False,
    due: int = NOW,
) -> ListedRecipient:
    return ListedRecipient(0, address, "mx:example.net", due, None, status, attempts, False, reply, leased)


def message(*recipients: ListedRecipient, sender: str = "a@example.org") -> Listed:
    return Listed("3Pt2mN2VXxznj", sender, 291, NOW, Place("main", 0, 0, 0), list(recipients))


@pytest.mark.parametrize(
    ("recipients", "name"),
    [
        ((recipient(),), "incoming"),
        ((recipient(leased=True),), "active"),
        ((recipient(leased=True, attempts=2, due=NOW + 1),), "deferred"),
        ((recipient(attempts=1), recipient()), "deferred"),
        ((recipient(status=Status.HELD),), "hold"),
        ((recipient(status=Status.HELD), recipient(status=Status.DELIVERED)), "hold"),
        ((recipient(status=Status.HELD), recipient(attempts=1)), "deferred"),
    ],
)
def test_queues(recipients: tuple[ListedRecipient, ...], name: str) -> None:
    assert queue_name(message(*recipients), NOW) == name
    mark = {"active": "*", "hold": "!"}.get(name, " ")
    assert next(block(message(*recipients), NOW))[13] == mark
    assert json.loads(json_line(message(*recipients), NOW))["queue_name"] == name


def test_recipients_share_their_reason_and_the_delivered_are_left_out() -> None:
    lines = list(
        block(
            message(
                recipient("a@x.example", reply="no"),
                recipient("b@x.example", reply="later"),
                recipient("c@x.example", reply="no"),
                recipient("d@x.example"),
                recipient("e@x.example", status=Status.DELIVERED),
            ),
            NOW,
        )
    )
    assert [line.strip() for line in lines[1:]] == [
        "d@x.example",
        "(no)",
        "a@x.example",
        "c@x.example",
        "(later)",
        "b@x.example",
    ]
    assert all(len(line) == 78 for line in lines if line.endswith(")"))


def test_nobody_steers_the_terminal() -> None:
    hostile = message(recipient("b\x1b[2J@x.example", reply="a\nb" * 40), sender="")
    assert all(line.isprintable() for line in block(hostile, NOW))
    assert "\n" not in json_line(hostile, NOW)
    assert json.loads(json_line(hostile, NOW))["sender"] == "MAILER-DAEMON"


def test_totals() -> None:
    assert total(Stats(messages=1, octets=1023)) == "-- 0 Kbytes in 1 Request."
    assert total(Stats(messages=2, octets=4096)) == "-- 4 Kbytes in 2 Requests."


@pytest.mark.parametrize("arguments", [[], ["-p", "-j"], ["-j", "x"], ["-z"], ["-i", "no id"], ["-i"]])
def test_wrong_command_lines_of_postqueue(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert postqueue(arguments) == 64
    assert "postqueue: " in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["-d", "no-id"], ["-h", "../x"], ["-z"], ["-d"], ["stray"]])
def test_wrong_command_lines_of_postsuper(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert postsuper(arguments, iter(())) == 64
    assert "postsuper: " in capsys.readouterr().err


def test_without_a_configuration(tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert postqueue(["-c", f"{tmp_path}/none.toml", "-p"]) == 78
    assert postsuper(["-c", f"{tmp_path}/none.toml", "-d", "ALL"], iter(())) == 78
