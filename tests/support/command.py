"""The `postroad` command run inside the test's process: quick, with its output and exit code as values."""

import contextlib
import io
import sys
from typing import NamedTuple

from postroad.cli.main import main


class Done(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


def run_command(*arguments: object) -> Done:
    """Run `postroad` with `arguments` as if they had been typed."""
    out, err = io.StringIO(), io.StringIO()
    argv = sys.argv
    sys.argv = ["postroad", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as left:
        return Done(int(left.code or 0), out.getvalue(), err.getvalue())
    finally:
        sys.argv = argv
    raise AssertionError("main() returned")
