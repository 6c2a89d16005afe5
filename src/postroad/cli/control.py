"""Asking the running server, over its control socket.

When it does not run, or is not ours to ask, that is an error in words with its own exit code.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import typer

from postroad.config.schema import Config
from postroad.desk.protocol import Answer, Asked, decode_answer, encode
from postroad.model.errors import SpoolError
from postroad.net.control import ControlClient

ANSWER_SECONDS: Final = 60.0
GLANCE_SECONDS: Final = 5.0  # for what a command can do without
_ENDED: Final = "the server ended before it had answered"


def ask(config: Config, request: Asked, seconds: float = ANSWER_SECONDS) -> Iterator[Answer]:
    """The server's answers to `request`; SpoolError when it does not run, cannot do it or takes longer for one."""
    return ask_at(config.control_socket, request, seconds)


def ask_at(path: Path, request: Asked, seconds: float = ANSWER_SECONDS) -> Iterator[Answer]:
    """The same, of the server that listens on `path`."""
    try:
        client = ControlClient(path, seconds)
    except (FileNotFoundError, ConnectionRefusedError):
        raise SpoolError(f"the server does not run: nobody listens on {path}") from None
    except PermissionError:
        raise PermissionError(
            f"{path} can be used by its owner alone: become the user that the server runs as"
        ) from None
    done = False
    with client:
        for line in _lines(client, request, seconds):
            answer = decode_answer(line)
            if answer.usage:
                raise typer.BadParameter(answer.error)
            if answer.error:
                raise SpoolError(answer.error)
            yield answer
            done = done or answer.done
    if not done:
        raise SpoolError(_ENDED)


def _lines(client: ControlClient, request: Asked, seconds: float) -> Iterator[bytes]:
    try:
        yield from client.ask(encode(request))
    except ConnectionError:  # killed; a broken pipe here is none of standard output, and no success
        raise SpoolError(_ENDED) from None
    except TimeoutError:
        raise SpoolError(f"the server has not answered for {seconds:.0f} seconds") from None


def is_running(config: Config) -> bool:
    """True when somebody listens on the control socket."""
    try:
        with ControlClient(config.control_socket, ANSWER_SECONDS):
            return True
    except PermissionError:
        return True
    except OSError:
        return False
