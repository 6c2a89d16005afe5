"""`postroad queue list | show`: what waits, with the last words of the other side.

Reads the spool without disturbing it, so both work whether the server runs or not. With --json, times are
microseconds since 1970 and `list` prints one object a line.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Final

import msgspec
import typer

from postroad.cli.exits import NO_INPUT, OK, complain, guarded
from postroad.cli.layout import block_lines, message_lines, queue_head, total_line
from postroad.cli.options import ConfigFile, Json, configuration
from postroad.model.queueid import is_queue_id
from postroad.model.work import Status
from postroad.net.clock import SystemClock
from postroad.spool.listing import Listed, Query
from postroad.spool.query import SpoolReader

_PAGE: Final = 5000  # messages fetched at once: memory stays flat however long the queue


class Wanted(StrEnum):
    """States that mail can wait in."""

    PENDING = "pending"
    HELD = "held"


def build() -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(help="Look at what waits in the queue.", no_args_is_help=True, rich_markup_mode=None)
    group.command("list")(list_messages)
    group.command("show")(show)
    return group


@guarded
def list_messages(
    status: Annotated[
        Wanted | None,
        typer.Option("--status", metavar="STATE", help="Only messages with a recipient that is pending or held."),
    ] = None,
    sender: Annotated[str, typer.Option("--from", metavar="TEXT", help="Only senders with this text.")] = "",
    recipient: Annotated[str, typer.Option("--to", metavar="TEXT", help="Only recipients with this text.")] = "",
    next_hop: Annotated[str, typer.Option("--next-hop", metavar="TEXT", help="Only next hops with this text.")] = "",
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=0, help="Messages to print at most; 0: all.")] = 100,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """List the messages that wait, oldest first.

    Example: postroad queue list --next-hop example.net
    """
    reader = SpoolReader(configuration(config).spool_folder)
    wanted = None if status is None else Status[status.name]
    query = Query(status=wanted, sender=sender, recipient=recipient, lane=next_hop, limit=limit)
    now = SystemClock().now()
    shown = 0
    for message in _messages(reader, query):
        if as_json:
            print(msgspec.json.encode(plain(message)).decode())
            continue
        if not shown:
            print(queue_head())
        shown += 1
        for line in block_lines(message, now):
            print(line)
    if not as_json:
        print(total_line(reader.counts(), shown))
    return OK


def _messages(reader: SpoolReader, query: Query) -> Iterator[Listed]:
    """What `query` asks for, page by page; `limit` 0 is all."""
    left = query.limit
    while True:
        page = reader.list(msgspec.structs.replace(query, limit=min(left, _PAGE) if left else _PAGE))
        yield from page
        if len(page) < _PAGE or len(page) == left:
            return
        left -= len(page) if left else 0
        query = msgspec.structs.replace(query, after=page[-1].id)


@guarded
def show(
    queue_id: Annotated[str, typer.Argument(metavar="ID", help="Queue id, as in the log and in the 250 reply.")],
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Show one message that waits: its envelope, and every recipient with its last reply and next try.

    Example: postroad queue show 3Pt2mN2VXxznj
    """
    reader = SpoolReader(configuration(config).spool_folder)
    shown = reader.show(queue_id) if is_queue_id(queue_id) else None
    if shown is None:
        complain(f"no message {queue_id} waits; it may be delivered: the log knows")
        return NO_INPUT
    if as_json:
        print(msgspec.json.encode({**plain(shown.listed), "envelope": shown.envelope}).decode())
    else:
        for line in message_lines(shown.listed, shown.envelope, SystemClock().now()):
            print(line)
    return OK


def plain(message: Listed) -> dict[str, object]:
    """A message as JSON has it: named fields throughout, states as words."""
    recipients = [
        {**msgspec.structs.asdict(recipient), "status": recipient.status.name.lower()}
        for recipient in message.recipients
    ]
    return {**msgspec.structs.asdict(message), "recipients": recipients}
