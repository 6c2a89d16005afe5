"""`postroad-postsuper`: hold, release, requeue and delete by queue id, as scripts for Postfix do.

`-` reads ids from standard input, `ALL` is everything that waits. Options are carried out in Postfix's order: delete,
hold, requeue, release. Each message is told as Postfix tells it, on standard error. The server has to run.
"""

import sys
from collections.abc import Iterator
from getopt import GetoptError, gnu_getopt
from types import MappingProxyType
from typing import Final

import typer

from postroad.cli.control import ask
from postroad.cli.exits import OK, TEMPORARY, USAGE, code_of, complain_as
from postroad.cli.options import configuration, system_file
from postroad.config.schema import Config
from postroad.desk.protocol import ActAsked
from postroad.model.errors import PostroadError
from postroad.model.queueid import is_queue_id
from postroad.model.work import Status
from postroad.net.clock import SystemClock
from postroad.queue.actions import DROP, HOLD, RELEASE, RETRY
from postroad.spool.filters import Query
from postroad.spool.query import SpoolReader

NAME: Final = "postsuper"
OPTIONS: Final = (
    ("-h ID", "Hold: the message waits until it is released."),
    ("-H ID", "Release from hold."),
    ("-r ID", "Requeue: the message is tried now, also when it was on hold."),
    ("-d ID", "Delete, without a word to the sender."),
    ("-", "In the place of an id: read ids from standard input, one a line."),
    ("ALL", "In the place of an id: everything that waits; with -H everything that is held."),
    ("-c FILE", "Configuration file; by default /etc/postroad/postroad.toml."),
    ("-p, -s, -S, -v", "Taken and ignored: the spool keeps itself in order."),
)
_IDS_AT_ONCE: Final = 20_000

# In the order in which they are carried out: what each does, what is said of one message, and in all.
_ORDERS: Final = MappingProxyType(
    {
        "-d": ((DROP,), "removed", "Deleted"),
        "-h": ((HOLD,), "placed on hold", "Placed on hold"),
        "-r": ((RELEASE, RETRY), "requeued", "Requeued"),
        "-H": ((RELEASE,), "released from hold", "Released from hold"),
    }
)


def main() -> None:
    """Do what this process's command line asks for."""
    sys.exit(run(sys.argv[1:], sys.stdin))


def run(arguments: list[str], stdin: Iterator[str]) -> int:
    """Do what `arguments` ask for; the exit code."""
    try:
        return _run(arguments, stdin)
    except (GetoptError, typer.BadParameter) as error:
        complain_as(NAME, str(error))
        return USAGE
    except (PostroadError, OSError) as error:
        complain_as(NAME, str(error))
        return code_of(error)


def _run(arguments: list[str], stdin: Iterator[str]) -> int:
    options, rest = gnu_getopt(arguments, "c:d:h:H:r:psSv")
    given = next((value for option, value in options if option == "-c"), "")
    wanted: dict[str, list[str]] = {option: [] for option in _ORDERS}
    for option, value in options:
        if option in wanted:
            wanted[option] += [line.strip() for line in stdin if line.strip()] if value == "-" else [value]
    bad = [word for words in wanted.values() for word in words if word != "ALL" and not is_queue_id(word)]
    if rest or bad:
        complain_as(NAME, "\n".join([*(f"{word}: no queue id" for word in bad), *(f"{word}: what?" for word in rest)]))
        return USAGE
    code = OK
    config = configuration(system_file(given))
    for option, words in wanted.items():
        if words and not _carry_out(config, option, words):
            code = TEMPORARY
    return code


def _carry_out(config: Config, option: str, words: list[str]) -> bool:
    """Do it and tell it; False when something was being delivered and stays as it was."""
    actions, one, many = _ORDERS[option]
    is_all = "ALL" in words
    ids = () if is_all else tuple(dict.fromkeys(words))
    concerned = _concerned(config, option, ids)
    if not concerned:
        return True
    busy = 0
    for start in range(0, len(concerned), _IDS_AT_ONCE):
        query = Query(ids=tuple(concerned[start : start + _IDS_AT_ONCE]), now=SystemClock().now())
        selection = "ALL" if is_all else " ".join(query.ids[:20])
        for action in actions:
            for answer in ask(config, ActAsked(action=action, query=query, selection=selection)):
                busy += answer.tally.busy if answer.tally is not None else 0
    if not is_all:
        complain_as(NAME, "\n".join(f"{queue_id}: {one}" for queue_id in concerned))
    complain_as(NAME, f"{many}: {len(concerned)} message{'' if len(concerned) == 1 else 's'}")
    if busy:
        complain_as(NAME, f"warning: {busy} recipients are being delivered right now and stay as they are")
    return not busy


def _concerned(config: Config, option: str, ids: tuple[str, ...]) -> list[str]:
    """The queue ids that an order is about, of those that wait; in the order of the queue."""
    status = Status.HELD if option == "-H" else None
    reader = SpoolReader(config.spool_folder)
    query = Query(ids=ids, status=status, limit=_IDS_AT_ONCE)
    found: list[str] = []
    while page := reader.list(query):
        found += [message.id for message in page]
        query = query.behind(page[-1].num, page[-1].id)
    return found
