"""Starts the quick start in the foreground. Ctrl-C drains the server, and then `make run` ends without an error.

The server gets the terminal for itself, as a shell's job does, so that ctrl-C reaches it alone and not make,
which would report an interrupted target. Without a terminal, or in the background, signals come to it directly.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Final

TOP: Final = Path(__file__).resolve().parents[1]
COMMAND: Final = (str(TOP / ".venv/bin/postroad"), "serve", "--config", "quickstart/postroad.toml")


def main() -> int:
    """Run the server; its exit code, or 128 and the number of the signal that ended it."""
    os.chdir(TOP)
    terminal = sys.stdin.fileno()
    if not os.isatty(terminal) or os.tcgetpgrp(terminal) != os.getpgrp():
        os.execv(COMMAND[0], COMMAND)

    server = subprocess.Popen(COMMAND, process_group=0)

    def stop(_number: int, _frame: FrameType | None) -> None:
        os.kill(server.pid, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, stop)  # the terminal was closed
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # for the call below, once the terminal is the server's
    os.tcsetpgrp(terminal, server.pid)
    status = wait(server.pid)
    os.tcsetpgrp(terminal, os.getpgrp())
    return status if status >= 0 else 128 - status


def wait(pid: int) -> int:
    """The exit code of `pid`; ctrl-Z does not stop it, since nobody could bring it back."""
    while True:
        _, status = os.waitpid(pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            return os.waitstatus_to_exitcode(status)
        os.kill(pid, signal.SIGCONT)


if __name__ == "__main__":
    sys.exit(main())
