"""`postroad upgrade`: the running server becomes the program that is on disk now, without refusing a connection.

The connection to the old program ends when it has made way; the next one, on the same socket, is answered by the new
program as soon as it runs. That it is another one is told by when it began.
"""

from pathlib import Path
from typing import Final

import msgspec

from postroad.cli.control import ask_at
from postroad.cli.exits import CONFIG, OK, complain, guarded
from postroad.cli.options import ConfigFile, Json
from postroad.cli.reload import control_socket_of
from postroad.config.load import find_config
from postroad.desk.protocol import Running, RunningAsked, UpgradeAsked
from postroad.model.errors import SpoolError

DRAIN_SECONDS: Final = 150.0  # rehearsal, deliveries and transactions together
START_SECONDS: Final = 900.0  # a large spool is read


@guarded
def upgrade(config: ConfigFile = None, as_json: Json = False) -> int:
    """Let the running server become the program that is installed now; when that does not work, nothing changes.

    Example: postroad upgrade -c /etc/postroad/postroad.toml
    """
    socket = control_socket_of(find_config(config))
    before, problems = _make_way(socket)
    if before is None:
        for line in problems:
            complain(line)
        complain("nothing has changed: the server goes on as it was")
        return CONFIG
    after = _successor(socket, before)
    if as_json:
        print(msgspec.json.encode({"before": before, "after": after}).decode())
    else:
        print(f"postroad {after.version} has taken over from {before.version}, as process {after.pid}")
    return OK


def _make_way(socket: Path) -> tuple[Running | None, tuple[str, ...]]:
    """Who has made way, once it is gone; or why nobody did."""
    before: Running | None = None
    try:
        for answer in ask_at(socket, UpgradeAsked(), seconds=DRAIN_SECONDS):
            if answer.problems:
                return None, answer.problems
            before = answer.running
    except SpoolError:
        if before is None:
            raise
    return before, ()


def _successor(socket: Path, before: Running) -> Running:
    """Who answers now; SpoolError when that is nobody new."""
    for answer in ask_at(socket, RunningAsked(), seconds=START_SECONDS):
        if answer.running is not None and answer.running != before:
            return answer.running
    raise SpoolError("the server has not become another program: its log tells why")
