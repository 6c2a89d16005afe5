"""What this host says of the folder of policies: whoever can write there decides what the server runs.

That is a doubt, for some let a group write there on purpose. A problem is a file that the server's user cannot read:
a start as root would find it, and no reload after that.
"""

import stat
from collections.abc import Iterator
from pathlib import Path

from postroad.config.policies import is_own
from postroad.config.problem import Problem, Warned
from postroad.config.schema import Config
from postroad.net.process.rights import can_read, is_root


def check_policy_files(config: Config) -> Iterator[Problem]:
    """Files that others than their owner can write, when there are policies of the operator's own."""
    folder = config.policies_path
    if not any(map(is_own, config.policies)) or not folder.is_dir():
        return
    user = config.process.user
    for place in (folder, *sorted(folder.rglob("*.py"))):
        if user and is_root() and not can_read(user, place):
            why = f"cannot be read by the user {user} (process.user), as which a reload reads it; chgrp {user} {place}"
            yield Problem(("policies_path",), f'"{place}" {why}')
        if _mode(place) & (stat.S_IWGRP | stat.S_IWOTH):
            yield Warned(
                ("policies_path",),
                f'"{place}": others than its owner can write it, and so run anything in the server; chmod go-w it',
            )


def _mode(place: Path) -> int:
    try:
        return place.stat().st_mode
    except OSError:
        return 0
