"""Command line of the soak: `python -m tests.soak [options]`, as root (it mounts a small disk of its own).

Exit status 1 when a promise was broken; everything written is then kept, and its folder named.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.soak.disk import small_disk
from tests.soak.plan import LONG, SHORT, Plan
from tests.soak.report import text_of
from tests.soak.run import Soak


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the soaks; the exit status."""
    options = _parser().parse_args(arguments)
    plans: tuple[Plan, ...] = LONG if os.environ.get("POSTROAD_LONG") else SHORT
    if options.edges is not None:
        plans = (replace(plans[-1], edges=options.edges),)
    if options.minutes:
        storm, calm = options.minutes * 60 * 0.6, options.minutes * 60 * 0.4
        plans = tuple(replace(plan, storm=storm, calm=calm) for plan in plans)
    held = [_soak(replace(plan, seed=options.seed), options.dir) for plan in plans]
    return 0 if all(held) else 1


def _soak(plan: Plan, parent: Path) -> bool:
    """Run one, and print its report; True when every promise held."""
    folder = Path(tempfile.mkdtemp(prefix="postroad-soak-", dir=parent))
    with small_disk(folder, plan.disk) as (disk, kind):
        found = Soak(plan, folder, disk, kind).run()
        if found.faults:
            shutil.copytree(disk, folder / "kept", ignore=shutil.ignore_patterns("ballast", "*.sock", "bell"))
    print(text_of(found), flush=True)
    if found.faults:
        print(f"everything is kept in {folder}", flush=True)
        return False
    shutil.rmtree(folder)
    return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="A relay under load, and under fire.")
    parser.add_argument("--minutes", type=float, help="how long each (default 2; with POSTROAD_LONG set, 10 and 30)")
    parser.add_argument("--edges", type=int, help="one soak with that many edge processes (default: two, with 0 and 2)")
    parser.add_argument("--seed", type=int, default=SHORT[0].seed, help="of all dice but those of the machine")
    parser.add_argument("--dir", type=Path, default=Path("/var/tmp"), help="where files are made (default /var/tmp)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
