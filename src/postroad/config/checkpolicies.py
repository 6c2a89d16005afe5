"""What this host says of the folder of policies: whoever can write there decides what the server runs.

A doubt, not a problem: some let a group write there on purpose.
"""

import stat
from collections.abc import Iterator
from pathlib import Path

from postroad.config.policies import is_own
from postroad.config.problem import Problem, Warned
from postroad.config.schema import Config


def check_policy_files(config: Config) -> Iterator[Problem]:
    """Files that others than their owner can write, when there are policies of the operator's own."""
    folder = config.policies_path
    if not any(map(is_own, config.policies)) or not folder.is_dir():
        return
    for place in (folder, *sorted(folder.rglob("*.py"))):
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
