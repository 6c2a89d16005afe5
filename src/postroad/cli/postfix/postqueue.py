"""`postroad-mailq` and `postroad-postqueue`: the queue for programs and fingers that know Postfix's.

Listing reads the spool and works without the server; flushing is an order to the server. Exit codes are Postfix's
where it has some, and those of sysexits.h.
"""

import os
import sys
from collections.abc import Callable, Iterator
from getopt import GetoptError, gnu_getopt
from pathlib import Path
from typing import Final

import msgspec
import typer

from postroad.cli.control import ask
from postroad.cli.exits import OK, USAGE, code_of, complain_as
from postroad.cli.options import configuration, system_file
from postroad.cli.postfix.mailqformat import EMPTY, HEADING, block, json_line, total
from postroad.cli.postfix.mailqformat import USAGE as USAGE_LINE
from postroad.config.schema import Config
from postroad.desk.protocol import ActAsked
from postroad.model.errors import PostroadError
from postroad.model.queueid import is_queue_id
from postroad.net.clock import SystemClock
from postroad.queue.actions import RETRY
from postroad.spool.filters import Query
from postroad.spool.listing import Listed
from postroad.spool.query import SpoolReader

OPTIONS: Final = (
    ("-p", "List the queue as `mailq` does."),
    ("-j", "List the queue as JSON, one message a line."),
    ("-f", "Try everything that waits now."),
    ("-i ID", "Try one message now."),
    ("-s SITE", "Try everything for one domain now."),
    ("-c FILE", "Configuration file; by default /etc/postroad/postroad.toml."),
    ("-v", "Taken and ignored."),
)
_PAGE: Final = 20_000


def main_mailq() -> None:
    """`postroad-mailq`."""
    sys.exit(run_mailq(sys.argv[1:]))


def main() -> None:
    """`postroad-postqueue`."""
    sys.exit(run(sys.argv[1:]))


def run_mailq(arguments: list[str]) -> int:
    """List the queue; of the options of other mailqs only `-c` means something."""
    return _guarded("mailq", lambda: _mailq(arguments))


def run(arguments: list[str]) -> int:
    """Do what `arguments` ask for; the exit code."""
    return _guarded("postqueue", lambda: _postqueue(arguments))


def _guarded(name: str, work: Callable[[], int]) -> int:
    try:
        code = work()
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except (GetoptError, typer.BadParameter) as error:
        complain_as(name, str(error))
        return USAGE
    except (PostroadError, OSError) as error:
        complain_as(name, str(error))
        return code_of(error)


def _mailq(arguments: list[str]) -> int:
    options, _ = gnu_getopt(arguments, "c:C:Ac:v")
    given = next((value for option, value in options if option in {"-c", "-C"}), "")
    return show(system_file(given), as_json=False)


def _postqueue(arguments: list[str]) -> int:
    options, rest = gnu_getopt(arguments, "c:fi:jps:v")
    wanted = [(option, value) for option, value in options if option not in {"-c", "-v"}]
    if len(wanted) != 1 or rest:
        complain_as("postqueue", USAGE_LINE)
        return USAGE
    given = next((value for option, value in options if option == "-c"), "")
    config = system_file(given)
    (option, value) = wanted[0]
    match option:
        case "-p" | "-j":
            return show(config, as_json=option == "-j")
        case "-i":
            return flush(config, queue_id=value)
        case "-s":
            return flush(config, site=value)
        case _:
            return flush(config)


def show(file: Path, *, as_json: bool) -> int:
    """Print the queue."""
    config = configuration(file)
    now = SystemClock().now()
    reader = SpoolReader(config.spool_folder)
    first = True
    for message in everything(reader):
        if as_json:
            print(json_line(message, now))
            continue
        print(HEADING if first else "")
        first = False
        print("\n".join(block(message, now)))
    if not as_json:
        print(EMPTY if first else f"\n{total(reader.counts())}")
    return OK


def everything(reader: SpoolReader) -> Iterator[Listed]:
    """Every message that waits, page by page."""
    query = Query(limit=_PAGE)
    while page := reader.list(query):
        yield from page
        query = query.behind(page[-1].num, page[-1].id)


def flush(file: Path, *, queue_id: str = "", site: str = "") -> int:
    """Try what waits: all of it, one message, or the mail for one domain."""
    if queue_id and not is_queue_id(queue_id):
        complain_as("postqueue", f"{queue_id} is no queue id")
        return USAGE
    query = Query(ids=(queue_id,) if queue_id else (), domain=site)
    _order(configuration(file), query, queue_id or site or "--all")
    return OK


def _order(config: Config, query: Query, words: str) -> None:
    now = SystemClock().now()
    request = ActAsked(action=RETRY, query=msgspec.structs.replace(query, now=now), selection=words)
    for _ in ask(config, request):
        pass
