"""`postroad serve`: run the server in the foreground until it is told to stop.

The log goes to standard error; to standard output goes only what a person at a terminal wants to know
first: where it listens and, when a route captures mail, where that lands and how to send a test message.
"""

from types import MappingProxyType
from typing import Final

from postroad.app import run
from postroad.cli.exits import guarded
from postroad.cli.options import ConfigFile
from postroad.config.checks.host import check_host
from postroad.config.load import find_config, inspect_config
from postroad.config.problem import Warned
from postroad.config.schema import Config
from postroad.model.errors import ConfigError
from postroad.model.option import parse_endpoint
from postroad.routing.rules import hop_text

_REACHED_AT: Final = MappingProxyType({"0.0.0.0": "127.0.0.1", "::": "::1"})  # noqa: S104  how a wildcard is reached from here


@guarded
def serve(config: ConfigFile = None) -> int:
    """Run the server in the foreground; SIGTERM or ctrl-C drains and stops it, SIGHUP reloads.

    Example: postroad serve -c /etc/postroad/postroad.toml
    """
    file = find_config(config)
    loaded = inspect_config(file)
    if loaded.config is None:
        raise ConfigError(loaded.lines(loaded.problems))
    host = check_host(loaded.config)
    if problems := [problem for problem in host if not isinstance(problem, Warned)]:
        raise ConfigError(loaded.lines(problems))
    for line in loaded.lines([*loaded.warnings, *host]):
        print(f"warning: {line}", flush=True)
    return run(loaded.config, file, announce=Announcer(loaded.config))


class Announcer:
    """Prints what the server announces and, once every listener is open, the quick start's hints."""

    def __init__(self, config: Config) -> None:
        """For `config`: it tells how many listeners there are and which routes capture mail."""
        self._config = config
        self._awaited = sum(len(listener.bind) for listener in config.listeners.values())
        self._first = ""

    def __call__(self, line: str) -> None:
        """Print `line`; "listening: NAME ADDRESS:PORT" is counted."""
        print(line, flush=True)
        if line.startswith("listening: "):
            self._awaited -= 1
            self._first = self._first or line.rpartition(" ")[2]
            if self._awaited == 0:
                for hint in quick_start(self._config, self._first):
                    print(hint, flush=True)


def quick_start(config: Config, endpoint: str) -> list[str]:
    """When a route captures mail: where it lands, and a line that sends a test message to `endpoint`; else nothing."""
    captured = [route for route in config.routes if "capture:" in map(hop_text, route.next_hops)]
    if not captured:
        return []
    address, port = parse_endpoint(endpoint)
    recipient = _sample_recipient(captured[0].recipients[0])
    message = r"Subject: Hello\r\n\r\nIt works.\r\n"
    command = (
        f'import smtplib; s = smtplib.SMTP("{_REACHED_AT.get(address, address)}", {port}); '
        f's.sendmail("me@example.com", ["{recipient}"], "{message}"); s.quit()'
    )
    return [
        f"Captured mail lands in {config.capture_folder}",
        "Send a test message from another terminal with:",
        f"  python3 -c '{command}'",
    ]


def _sample_recipient(pattern: str) -> str:
    """An address that `pattern` matches."""
    if "@" in pattern:
        return pattern
    return f"you@{'example.net' if pattern == '*' else pattern.replace('*.', 'mail.')}"
