"""`postroad spool verify | rebuild | cat`: for the day when something is wrong with the disk.

`verify` and `cat` only read, beside a running server too; `rebuild` wants the spool for itself.
"""

import sys
from typing import Annotated

import msgspec
import typer

from postroad.cli.exits import DATA, NO_INPUT, OK, complain, guarded
from postroad.cli.options import ConfigFile, Json, configuration
from postroad.cli.progress import reading
from postroad.config.schema import Config
from postroad.model.envelope import Envelope, Recipient
from postroad.model.errors import SpoolError
from postroad.model.queueid import is_queue_id
from postroad.net.clock import SystemClock
from postroad.queue.retryrules import retries_of
from postroad.routing.rules import compile_rules
from postroad.spool import tools
from postroad.spool.ledger import LaneOf
from postroad.spool.query import SpoolReader


def build() -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(help="Check, repair and look into the spool.", no_args_is_help=True, rich_markup_mode=None)
    group.command("verify")(verify)
    group.command("rebuild")(rebuild)
    group.command("cat")(cat)
    return group


@guarded
def verify(config: ConfigFile = None, as_json: Json = False) -> int:
    """Read the whole spool and check every checksum; changes nothing. Exit code 65 when there is damage.

    Example: postroad spool verify -c /etc/postroad/postroad.toml
    """
    folder = configuration(config).spool_folder
    with reading(folder, "reading") as disk:
        found = tools.verify(folder, disk)
    print(msgspec.json.encode(found).decode() if as_json else "\n".join(found.lines()))
    return DATA if found.problems else OK


@guarded
def rebuild(config: ConfigFile = None, as_json: Json = False) -> int:
    """Make the spool's index anew from its journals; the server must not run.

    Example: postroad spool rebuild -c /etc/postroad/postroad.toml
    """
    settings = configuration(config)
    folder = settings.spool_folder
    with reading(folder, "reading the journals") as disk:
        found = tools.rebuild(
            folder,
            clock=SystemClock(),
            lane_of=_lane_of(settings),
            deadline_of=retries_of(settings.queue, settings.retry).deadline_of,
            disk=disk,
        )
    if as_json:
        print(msgspec.json.encode(found).decode())
    else:
        print(f"{found.messages} messages wait; {found.replayed} frames read in {found.seconds:.1f}s")
        if found.damaged:
            print(f"{found.damaged} stretches of damage were set aside in {folder / 'damaged'}")
    return DATA if found.damaged else OK


def _lane_of(config: Config) -> LaneOf:
    rules = compile_rules(config.routes, config.egress)

    def lane_of(envelope: Envelope, recipient: Recipient) -> str:
        placement = rules.place(envelope, recipient)
        return placement.lane if placement is not None else ""

    return lane_of


@guarded
def cat(
    queue_id: Annotated[str, typer.Argument(metavar="ID", help="Queue id, as in the log and in the 250 reply.")],
    config: ConfigFile = None,
) -> int:
    """Print one message that waits, as it would be sent: our header fields, then the content as received.

    Example: postroad spool cat 3Pt2mN2VXxznj
    """
    folder = configuration(config).spool_folder
    if not is_queue_id(queue_id) or SpoolReader(folder).show(queue_id) is None:
        complain(f"no message {queue_id} waits; it may be delivered: the log knows")
        return NO_INPUT
    try:
        _, parts = tools.cat(folder, queue_id)
    except SpoolError as error:
        complain(error)
        return DATA
    for part in parts:
        sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()
    return OK
