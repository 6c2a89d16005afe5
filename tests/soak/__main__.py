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
from tests.soak.plan import LONG, SHORT
from tests.soak.report import text_of
from tests.soak.run import Soak


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the soak; the exit status."""
    options = _parser().parse_args(arguments)
    plan = LONG if os.environ.get("POSTROAD_LONG") else SHORT
    if options.minutes:
        seconds = options.minutes * 60
        plan = replace(plan, storm=seconds * 0.63, calm=seconds * 0.37)
    plan = replace(plan, edges=options.edges, seed=options.seed)
    folder = Path(tempfile.mkdtemp(prefix="postroad-soak-", dir=options.dir))
    with small_disk(folder, plan.disk) as (disk, kind):
        found = Soak(plan, folder, disk, kind).run()
        if found.faults:
            shutil.copytree(disk, folder / "kept", ignore=shutil.ignore_patterns("ballast", "*.sock"))
    print(text_of(found), flush=True)
    if found.faults:
        print(f"everything is kept in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="A relay under load, and under fire.")
    parser.add_argument("--minutes", type=float, help="how long (default 3.5; with POSTROAD_LONG set, 30)")
    parser.add_argument("--edges", type=int, default=0, help="edge processes (default 0)")
    parser.add_argument("--seed", type=int, default=SHORT.seed, help="of all dice but those of the machine")
    parser.add_argument("--dir", type=Path, default=Path("/var/tmp"), help="where files are made (default /var/tmp)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
