"""Each filter that is promised to be indexed is driven by its index; and all of them find what a plain look finds.

The index is filled with rows alone: 2,000 messages, in the long mode 1,000,000.
"""

import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from postroad.model.work import Status
from postroad.spool.filters import Query
from postroad.spool.index import IN_MEMORY, Index, connect, select
from postroad.spool.listing import (
    AGES,
    GROUPS,
    Listed,
    _where,
    age_of,
    asked,
    count_found,
    count_groups,
    find_message,
    find_messages,
    group_of,
    select_recipients,
    shape,
)
from postroad.spool.ops import MessageRow, RecipientRow, new_ops
from postroad.spool.statements import Statement, counting, grouping, listing, selecting
from tests.support.clock import START

pytestmark = pytest.mark.timeout(900)  # a million rows take their time
FEW = 2_000
MESSAGES = 1_000_000 if os.environ.get("POSTROAD_LONG") else FEW
PORTION = 5_000
SECOND = 1_000_000
NOW = START + (FEW + 1000) * SECOND
REPLIES = ("", "451 4.7.1 greylisted", "host mx[192.0.2.1] said: 452 4.2.2 Mailbox full (in reply to RCPT TO)")


def message(num: int, dice: random.Random) -> tuple[MessageRow, list[RecipientRow]]:
    """Message `num`: one recipient in most, three in some."""
    arrived = START + num * SECOND
    sender = "" if num % 50 == 0 else f"User{num % 700}@s{dice.randrange(40)}.example"
    size = 30_000_000 if num % 100 == 7 else dice.randrange(500, 200_000)
    count = 3 if num % 20 == 0 else 1
    place = ("main", 1 + num // 5000, num % 5000 * 4096, 4096)
    row = MessageRow(num, f"{num:013d}", *place, sender, size, arrived, count, file=False)
    recipients = []
    for idx in range(count):
        domain = f"d{int(300 * dice.random() ** 3)}.example"
        status = 1 if num % 97 == 0 else 2 if idx == 2 else 0
        lane = "smtp://relay.example:25,smtp://b.example:25" if num % 11 == 0 else f"mx:{domain}"
        due = arrived + dice.randrange(3000) * SECOND
        reply = REPLIES[dice.randrange(3)]
        leased = num % 401 == 0 and status == 0
        address = f"someone{num % 900}@{domain}"
        recipients.append(
            RecipientRow(num, idx, address, lane, due, None, status, 1, warned=False, reply=reply, leased=leased)
        )
    return row, recipients


def fill(messages: int) -> Index:
    """An index with many messages, in memory."""
    index = Index(connect(Path(IN_MEMORY)))
    dice = random.Random(1)
    for first in range(1, messages + 1, PORTION):
        ops = new_ops()
        for num in range(first, min(first + PORTION, messages + 1)):
            row, recipients = message(num, dice)
            ops.messages.append(row)
            ops.recipients += recipients
        index.apply(ops)
    return index


@pytest.fixture(scope="module")
def db() -> Iterator[apsw.Connection]:
    """Very many messages, in the long mode."""
    index = fill(MESSAGES)
    yield index.db
    index.close()


@pytest.fixture(scope="module")
def few() -> Iterator[apsw.Connection]:
    """So few that they can be looked at one by one."""
    index = fill(FEW)
    yield index.db
    index.close()


INDEXED = [
    (Query(ids=("0000000000007", "0000000000020")), "message_id"),
    (Query(sender="user7@s3.example"), "message_sender"),
    (Query(sender="user69*@s3.example"), "message_domain"),
    (Query(sender="*@s3.example"), "message_domain"),
    (Query(sender="<>"), "message_sender"),
    (Query(recipient="someone5@d0.example"), "recipient_address"),
    (Query(recipient="SOMEONE88*@d0.EXAMPLE"), "recipient_domain"),
    (Query(recipient="*@d1*"), "recipient_domain"),
    (Query(domain="d7.example"), "recipient_domain"),
    (Query(domain="d29*"), "recipient_domain"),
    (Query(domain="*9.example"), "recipient_domain"),
    (Query(next_hop="d7.example"), "recipient_lane"),
    (Query(next_hop="b.example"), "recipient_lane"),
    (Query(lanes=frozenset({"mx:d1.example"}), hops=("mx:d2*",)), "recipient_lane"),
    (Query(status=Status.HELD), "recipient_held"),
    (Query(reason="held"), "recipient_held"),
    (Query(reason="ready"), "recipient_leased"),
    (Query(older=START + 200 * SECOND), "message_arrived"),
    (Query(larger=10_000_000), "message_size"),
    (Query(larger=1 << 20), "message_size"),
    (Query(domain="d0.example", older=START + 900 * SECOND), "recipient_domain"),
    (Query(sender="*@s3.example", status=Status.HELD), "recipient_held"),
    (Query(next_hop="d0.example", larger=10_000_000), "message_size"),
]
WALKED = [
    Query(),
    Query(status=Status.PENDING),
    Query(reply="MAILBOX full"),
    Query(reply="no_such"),
    Query(sender="user69*"),
    Query(larger=(1 << 20) - 1),
    Query(larger=150_000, sender="*@s3.example"),
    Query(recipient="someone8*"),
    Query(reason="due", now=START + 1500 * SECOND),
    Query(reason="retry", now=START + 1500 * SECOND),
    Query(larger=100, older=NOW),
    Query(sender="*7@*", reply="greylisted"),
]


def plan(db: apsw.Connection, statement: Statement) -> list[str]:
    rows = select(db, tuple[int, int, int, str], f"EXPLAIN QUERY PLAN {statement.text}", statement.values)
    return [row[3] for row in rows]


@pytest.mark.parametrize(("query", "index"), INDEXED)
def test_an_indexed_filter_is_driven_by_its_index(query: Query, index: str, db: apsw.Connection) -> None:
    found = _where(db, query)
    assert found.index == index
    statements = (listing(query, found), selecting(found, (5, 0), 10), counting(found), grouping(found, "r.reply", "1"))
    for statement in statements:
        steps = plan(db, statement)
        assert any(index in step for step in steps), (statement.text, steps)
        walks = [step for step in steps if step.startswith(("SCAN m", "SCAN r")) and index not in step]
        assert walks == [], (statement.text, steps)


def everything(db: apsw.Connection) -> list[Listed]:
    found = (find_message(db, f"{num:013d}") for num in range(1, FEW + 1))
    return [one for one in found if one is not None]


@pytest.mark.parametrize("query", [*(query for query, _ in INDEXED), *WALKED])
def test_what_is_found_is_what_was_asked_for(query: Query, few: apsw.Connection) -> None:
    db = few
    pairs = [(one, recipients) for one in everything(db) if (recipients := asked(query, one))]
    ids = [one.id for one, _ in pairs]
    keys = [(one.num, recipient.index, one.id) for one, recipients in pairs for recipient in recipients]
    assert [one.id for one in find_messages(db, query)] == ids[:100]
    assert select_recipients(db, query, (0, -1), 10_000) == keys
    middle = keys[len(keys) // 2][:2] if keys else (0, -1)
    assert select_recipients(db, query, middle, 7) == [key for key in keys if key[:2] > middle][:7]
    count = count_found(db, query)
    assert (count.messages, count.recipients) == (len(ids), len(keys))
    assert [one.id for one in find_messages(db, query, ids[:5])] == ids[5:105]
    for by in GROUPS:
        groups = Counter(group_of(one, recipient, by) for one, recipients in pairs for recipient in recipients)
        assert count_groups(db, query, by) == groups


def test_the_shape_counts_each_recipient_once_at_its_age(few: apsw.Connection) -> None:
    now = START + 1_900 * SECOND
    rows: dict[str, list[int]] = {}
    for one in everything(few):
        for recipient in asked(Query(), one):
            rows.setdefault(recipient.lane, [0] * (len(AGES) + 1))[age_of(one, now)] += 1
    assert len([row for row in rows.values() if sum(map(bool, row)) > 2]) > 5
    assert shape(few, Query(now=now, domain="d*"), "next-hop") == rows


def test_a_filter_that_leaves_most_is_not_driven_by_its_index(
    db: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("postroad.spool.listing.FEW", 100)
    query = Query(older=NOW)
    found = _where(db, query)
    assert (found.index, found.is_by_message) == ("", False)
    assert not any("ORDER BY" in step for step in plan(db, listing(query, found)))
