"""Exit codes of sysexits.h, and the one place where errors become a line and a code.

`guarded` wraps every command: what went wrong is told in one line, never as a traceback; only a bug
of ours still shows one. Interruption and a closed pipe end a command quietly.
"""

import functools
import os
import sys
from collections.abc import Callable
from types import MappingProxyType
from typing import Final, ParamSpec

import typer

from postroad.model.errors import AddressError, ConfigError, PostroadError, SpoolFullError

OK: Final = 0
USAGE: Final = 64  # the command line is wrong
DATA: Final = 65  # the data is damaged
NO_INPUT: Final = 66  # there is no such id or file
NO_HOST: Final = 68  # there is nowhere to send that mail
UNAVAILABLE: Final = 69  # what the command needs is not there
SOFTWARE: Final = 70
CANT_CREATE: Final = 73  # the file is there already
IO_ERROR: Final = 74
TEMPORARY: Final = 75  # try again later
NO_PERMISSION: Final = 77
CONFIG: Final = 78
INTERRUPTED: Final = 130  # as shells report a process that ended by ctrl-C
WORDS: Final = MappingProxyType(  # of each code, for the reference
    {
        OK: "done",
        USAGE: "the command line is wrong",
        DATA: "damage was found",
        NO_INPUT: "there is no such id or file",
        NO_HOST: "there is nowhere to send that mail",
        UNAVAILABLE: "what is needed is not there",
        SOFTWARE: "a fault of the program",
        CANT_CREATE: "the file is there already",
        IO_ERROR: "input or output failed",
        TEMPORARY: "try again later",
        NO_PERMISSION: "not permitted",
        CONFIG: "the configuration is wrong",
        INTERRUPTED: "ended by ctrl-C",
    }
)

Parameters = ParamSpec("Parameters")


def guarded(command: Callable[Parameters, int]) -> Callable[Parameters, None]:
    """`command` as the command line runs it: its return value is the exit code, its errors become a line and a code."""

    @functools.wraps(command)
    def run(*args: Parameters.args, **options: Parameters.kwargs) -> None:
        try:
            code = command(*args, **options)
            sys.stdout.flush()
        except BrokenPipeError:
            # The reader has seen enough; nothing more may be written, not even while the interpreter ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = OK
        except KeyboardInterrupt:
            code = INTERRUPTED
        except (PostroadError, OSError) as error:
            complain(error)
            code = code_of(error)
        raise typer.Exit(code)

    run.__annotations__["return"] = None
    return run


def complain(error: Exception | str) -> None:
    """`error` on standard error, each line after the program's name."""
    complain_as("postroad", str(error) or type(error).__name__)


def complain_as(program: str, words: str) -> None:
    """`words` on standard error, each line after the name of `program`."""
    for line in words.splitlines():
        print(f"{program}: {line}", file=sys.stderr)


def code_of(error: Exception) -> int:
    """The exit code for `error`."""
    match error:
        case ConfigError():
            return CONFIG
        case AddressError():
            return USAGE
        case SpoolFullError():
            return TEMPORARY
        case PermissionError():
            return NO_PERMISSION
        case FileNotFoundError():
            return NO_INPUT
        case OSError():
            return IO_ERROR
        case _:
            return UNAVAILABLE
