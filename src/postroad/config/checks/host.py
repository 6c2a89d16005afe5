"""What the configuration asks of this host: a folder that can be written, a user that exists.

Only `serve` insists on these, but for mere doubts (`Warned`); `check` tells all as warnings, for it may run elsewhere
or as someone else.
"""

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from postroad.config.checks.acme import check_acme_places
from postroad.config.checks.apihost import check_api_places
from postroad.config.checks.auth import check_auth_places
from postroad.config.checks.directories import check_directory_files
from postroad.config.checks.oauth import check_oauth_places
from postroad.config.checks.policies import check_policy_files
from postroad.config.checks.returns import check_return_secrets
from postroad.config.checks.signing import check_signing_keys
from postroad.config.checks.sinks import check_sink_places
from postroad.config.checks.tls import check_key_access
from postroad.config.checks.tlsout import check_tls_out_files
from postroad.config.egress import check_egress
from postroad.config.problem import Problem
from postroad.config.schema import Config


def check_host(config: Config) -> list[Problem]:
    """What on this host stands against running `config` as the current user; looks, and changes nothing."""
    return [
        *_data_dir(config),
        *_user(config),
        *check_egress(config),
        *check_sink_places(config),
        *check_directory_files(config),
        *check_api_places(config),
        *check_key_access(config),
        *check_tls_out_files(config),
        *check_acme_places(config),
        *check_auth_places(config),
        *check_oauth_places(config),
        *check_policy_files(config),
        *check_signing_keys(config),
        *check_return_secrets(config),
    ]


def _data_dir(config: Config) -> Iterator[Problem]:
    path = ("data_dir",)
    folder = config.data_dir
    nearest = next(part for part in (folder, *folder.parents) if _is_seen(part))
    if not nearest.is_dir():
        yield Problem(path, f'"{folder}": {nearest} is not a folder')
    elif not os.access(nearest, os.W_OK | os.X_OK):
        what = "cannot be written" if nearest == folder else f"is not there, and {nearest} cannot be written"
        yield Problem(path, f'"{folder}": {what} by the user {_user_name()}')


def _is_seen(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:  # below a folder we may not enter
        return False


def _user(config: Config) -> Iterator[Problem]:
    user = config.process.user
    if not user:
        return
    try:
        pwd.getpwnam(user)
    except KeyError:
        yield Problem(
            ("process", "user"), f'"{user}": there is no such user on this host; make it with: useradd --system {user}'
        )


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
