"""The configuration that `postroad init` writes: a few answers become a commented file (pure).

Only what was answered is set; what most people change next stands beside it as a comment.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from postroad.config.describe import value_text

_TIMES_AND_LIMITS: Final = (
    (
        "[queue]\n"
        "# When mail that could not be delivered is tried again (the last repeats), and when its sender is told.\n"
        '# retry = ["1m", "5m", "15m", "30m", "1h", "2h", "4h"]\n'
        '# warn_after = "4h"\n'
        '# expire_after = "5d"\n'
    ),
    (
        "[limits]\n"
        "# What one peer, and all together, may take.\n"
        '# message_size = "50MiB"\n'
        "# recipients_per_message = 1000\n"
        "# sessions = 2000\n"
        "# sessions_per_ip = 50\n"
    ),
    '[log]\n# json: one object a line; postfix: as log tools read it; text: for people.\nformat = "json"\n',
)


class Answers(Struct, frozen=True, kw_only=True):
    """What a first configuration needs to know; `domains` are ours, and their mail goes to `deliver_to`."""

    hostname: str
    listen: Sequence[str]
    networks: Sequence[str]
    domains: Sequence[str] = ()
    deliver_to: Sequence[str] = ()
    others: Sequence[str] = ("mx",)
    data_dir: str
    user: str = ""


def starter(answers: Answers) -> str:
    """The file's text."""
    parts = [
        (
            "# Postroad's configuration. Every option is described in docs/reference/configuration.md.\n"
            "# Check a change with `postroad check`, see what it changes with `postroad check --diff`, and put it in\n"
            "# force with `postroad reload`.\n"
        ),
        (
            "# Our name in the banner, in EHLO and in Received; it must resolve to our address, and that back to it.\n"
            f"hostname = {value_text(answers.hostname)}\n"
        ),
        (
            "# Mail that waits and the control socket are kept here, on a disk that keeps what it has acknowledged.\n"
            f"data_dir = {value_text(answers.data_dir)}\n"
        ),
        (
            "# Where mail comes in. Any name will do, and there may be several.\n"
            f"[listeners.mx]\nbind = {_list(answers.listen)}\n"
        ),
        (
            "[tls]\n"
            "# With a certificate every listener offers STARTTLS. Both files are read again when they change.\n"
            '# certificate = "/etc/postroad/cert.pem"\n'
            '# key = "/etc/postroad/key.pem"\n'
        ),
        (
            "[access]\n"
            "# Clients in these networks may send to any address: keep it to machines of your own.\n"
            f"relay_networks = {_list(answers.networks)}\n"
            "# Mail for these domains is taken from anyone.\n"
            f"relay_domains = {_list(answers.domains)}\n"
        ),
    ]
    if answers.domains:
        parts.append(
            "# Routes are tried in order, the first that matches wins. This one: mail for our own domains.\n"
            f"[[routes]]\nrecipients = {_list(answers.domains)}\nnext_hops = {_list(answers.deliver_to)}\n"
        )
    parts.append(
        '# Everything else. "mx" is the MX of the recipient\'s domain; a smart host is "smtp://host:port".\n'
        f'[[routes]]\nrecipients = ["*"]\nnext_hops = {_list(answers.others)}\n'
    )
    parts += _TIMES_AND_LIMITS
    user = value_text(answers.user) if answers.user else '"postroad"'
    parts.append(
        "[process]\n"
        "# Started as root, the server becomes this user once its ports are open.\n"
        f"{'' if answers.user else '# '}user = {user}\n"
    )
    return "\n".join(parts)


def _list(values: Sequence[str]) -> str:
    return value_text(tuple(values))
