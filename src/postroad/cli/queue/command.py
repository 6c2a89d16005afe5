"""`postroad queue list | show | content`: what waits and why, with the last words of the other side.

Reads the spool without disturbing it, so all work whether the server runs or not; one that runs is asked what keeps
its next hops. With --json, times are microseconds since 1970 and `list` prints one object a line. The commands that
act are in the files beside this one.
"""

import sys
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Final

import msgspec
import typer

from postroad.cli.exits import DATA, NO_INPUT, OK, complain, guarded
from postroad.cli.layout import block_lines, header_lines, message_lines, printable, queue_head, total_line
from postroad.cli.options import ConfigFile, Json, configuration
from postroad.cli.queue import act as queue_act
from postroad.cli.queue import shape as queue_shape
from postroad.cli.queue import suspend as queue_suspend
from postroad.cli.queue import top as queue_top
from postroad.cli.queue.filters import Filters, filtered
from postroad.cli.queue.suspend import stopped_by
from postroad.cli.queue.waits import Reasons, Wait
from postroad.config.schema import Config
from postroad.message.headers import header_section
from postroad.model.errors import SpoolError
from postroad.model.queueid import is_queue_id
from postroad.model.trail import attempts_of
from postroad.net.clock import SystemClock
from postroad.observe.formats.lines import plural
from postroad.spool import tools
from postroad.spool.listing import Listed, ListedRecipient
from postroad.spool.query import Query, SpoolReader

_PAGE: Final = 20_000  # messages fetched at once: memory stays flat however long the queue
_PORTION: Final = 1000  # messages whose reasons of waiting are found out at once
_HEADER_LIMIT: Final = 64 << 10


class By(StrEnum):
    """What recipients can be counted by."""

    DOMAIN = "domain"
    NEXT_HOP = "next-hop"
    RECIPIENT = "recipient"
    SENDER = "sender"
    SENDER_DOMAIN = "sender-domain"
    STATUS = "status"
    REPLY = "reply"


def build() -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(help="See and change what waits in the queue.", no_args_is_help=True, rich_markup_mode=None)
    group.command("list")(guarded(filtered(list_messages)))
    group.command("show")(show)
    group.command("content")(content)
    queue_act.add_to(group)
    queue_suspend.add_to(group)
    queue_shape.add_to(group)
    queue_top.add_to(group)
    return group


def list_messages(
    *,
    filters: Filters,
    count: Annotated[bool, typer.Option("--count", help="Only print how many.")] = False,
    group_by: Annotated[
        By | None,
        typer.Option(
            "--group-by",
            metavar="WHAT",
            help="Count recipients by domain, next-hop, recipient, sender, sender-domain, status or reply, most first.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=0, help="Lines to print at most; 0: all.")] = 100,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """List the messages that wait, those taken in first at the top. Patterns may have *.

    Example: postroad queue list --domain example.net --older 4h --reply "mailbox full"
    """
    settings = configuration(config)
    reader = SpoolReader(settings.spool_folder)
    now = SystemClock().now()
    query = filters.query(settings, now)
    if group_by is not None:
        _print_groups(reader.groups(query, group_by.value), limit, as_json=as_json)
    elif count:
        found = reader.count(query)
        words = f"{plural(found.recipients, 'recipient')} of {plural(found.messages, 'message')}"
        print(msgspec.json.encode(found).decode() if as_json else words)
    else:
        _print_list(settings, reader, query, now, limit=limit, as_json=as_json)
    return OK


def _print_groups(groups: dict[str, int], limit: int, *, as_json: bool) -> None:
    rows = sorted(groups.items(), key=lambda item: (-item[1], item[0]))
    for name, number in rows[: limit or None]:
        if as_json:
            print(msgspec.json.encode({"group": name, "recipients": number}).decode())
        else:
            print(f"{number:>9}  {printable(name) or '(none)'}")


def _print_list(config: Config, reader: SpoolReader, query: Query, now: int, *, limit: int, as_json: bool) -> None:
    shown = 0
    reasons = Reasons(config, stopped_by(config, now), now)
    for portion in _portions(reader, query, limit):
        for message, waits in zip(portion, reasons.of(portion), strict=True):
            if as_json:
                print(msgspec.json.encode(plain(message, waits)).decode())
                continue
            if not shown:
                print(queue_head())
            shown += 1
            causes = {index: wait.cause.value for index, wait in waits.items()}
            for line in block_lines(message, now, reasons.stopped, causes=causes):
                print(line)
    if not as_json:
        print(total_line(reader.counts(), shown))


def _portions(reader: SpoolReader, query: Query, limit: int) -> Iterator[list[Listed]]:
    """What `query` asks for, in portions that the server can be asked about at once; `limit` 0 is all."""
    left = limit
    while True:
        size = min(left, _PAGE) if left else _PAGE
        page = reader.list(msgspec.structs.replace(query, limit=size))
        for start in range(0, len(page), _PORTION):
            yield page[start : start + _PORTION]
        left -= len(page) if left else 0
        if len(page) < size or (limit and not left):
            return
        query = query.behind(page[-1].num, page[-1].id)


@guarded
def show(
    queue_id: Annotated[str, typer.Argument(metavar="ID", help="Queue id, as in the log and in the 250 reply.")],
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Show one message that waits: envelope, header, and every recipient with its attempts and why it waits now.

    Example: postroad queue show 3Pt2mN2VXxznj
    """
    settings = configuration(config)
    reader = SpoolReader(settings.spool_folder)
    shown = reader.show(queue_id) if is_queue_id(queue_id) else None
    if shown is None:
        return _unknown(queue_id)
    header = b""
    try:
        _, parts = tools.cat(settings.spool_folder, queue_id)
        header = header_section(_beginning(parts))
    except SpoolError as error:
        complain(error)
    now, listed = SystemClock().now(), shown.listed
    reasons = Reasons(settings, stopped_by(settings, now), now)
    (waits,) = reasons.of([listed])
    if as_json:
        text = header.decode("utf-8", "backslashreplace")
        whole = {**plain(listed, waits), "envelope": shown.envelope, "header": text}
        print(msgspec.json.encode(whole).decode())
        return OK
    for line in (*message_lines(listed, shown.envelope, now, stopped=reasons.stopped, waits=waits), ""):
        print(line)
    for line in header_lines(header):
        print(line)
    return OK


@guarded
def content(
    queue_id: Annotated[str, typer.Argument(metavar="ID", help="Queue id, as in the log and in the 250 reply.")],
    config: ConfigFile = None,
) -> int:
    """Print one message that waits, as it would be sent: our header fields, then the content as received.

    Example: postroad queue content 3Pt2mN2VXxznj
    """
    folder = configuration(config).spool_folder
    if not is_queue_id(queue_id) or SpoolReader(folder).show(queue_id) is None:
        return _unknown(queue_id)
    try:
        _, parts = tools.cat(folder, queue_id)
    except SpoolError as error:
        complain(error)
        return DATA
    for part in parts:
        sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()
    return OK


def _unknown(queue_id: str) -> int:
    complain(f"no message {queue_id} waits; it may be delivered: the log knows")
    return NO_INPUT


def _beginning(parts: Iterator[bytes]) -> bytes:
    """The octets that hold the header section."""
    found = b""
    for part in parts:
        found += part[:_HEADER_LIMIT]
        if len(found) >= _HEADER_LIMIT:
            break
    return found


def plain(message: Listed, waits: Mapping[int, Wait]) -> dict[str, object]:
    """A message as JSON has it: named fields throughout, states as words; `waits` by the recipient's number."""
    facts = msgspec.structs.asdict(message)
    del facts["num"]
    return {**facts, "recipients": [_plain_recipient(one, waits.get(one.index)) for one in message.recipients]}


def _plain_recipient(recipient: ListedRecipient, wait: Wait | None) -> dict[str, object]:
    trail = attempts_of(recipient.trail)
    return {**msgspec.structs.asdict(recipient), "status": recipient.status.name.lower(), "trail": trail, "wait": wait}
