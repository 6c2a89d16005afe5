"""Opens the identity sources that are elsewhere: directories, services asked by HTTP, the host's PAM.

A directory that several sources look into is opened once for all of them. Nothing is sent before the first log-in.
"""

from functools import partial
from typing import Final

from msgspec import Struct

from postroad.auth.httpsource import MakeHttp
from postroad.auth.ldap import LdapSource
from postroad.auth.pamsource import MakePam
from postroad.auth.service import Close, Start
from postroad.auth.source import Source
from postroad.config.checks.auth import http_secret
from postroad.config.checks.directories import directory_password
from postroad.config.schema import Config
from postroad.model.late import Late
from postroad.net.clock import Clock
from postroad.net.ldap.directories import make_directory, tell
from postroad.net.ldap.directory import Directory

PAM: Final = Late[MakePam]("postroad.auth.pam", "make_pam")
HTTP: Final = Late[MakeHttp]("postroad.auth.http", "make_http")


class Opened(Struct, frozen=True):
    """The sources by name, and what begins and ends with them."""

    sources: dict[str, Source]
    starting: list[Start]
    closing: list[Close]


def open_sources(config: Config, clock: Clock) -> Opened:
    """Those that `config` has; ConfigError when a secret or a certificate cannot be read."""
    opened = Opened({}, [], [])
    directories: dict[str, Directory] = {}
    for name, settings in config.auth.ldap.items():
        wanted = settings.directory
        directory = directories.get(wanted)
        if directory is None:
            given = config.directories[wanted]
            directory = directories[wanted] = make_directory(given, directory_password(wanted, given), clock)
            opened.starting.append(partial(tell, directory, wanted, clock))
            opened.closing.append(directory.close)
        opened.sources[name] = LdapSource(name, settings, directory, clock)
    for name, service in config.auth.http.items():
        source = HTTP.load()(name, service, http_secret(name, service))
        opened.sources[name] = source
        opened.closing.append(source.close)
    if config.auth.pam is not None:
        source = PAM.load()(config.auth.pam)
        opened.sources[source.name] = source
        opened.closing.append(source.close)
    return opened


def has_same_sources(old: Config, new: Config) -> bool:
    """True when the options are the same, and nothing that they are read from can have changed."""
    return old.directories == new.directories and not reads_elsewhere(new)


def reads_elsewhere(config: Config) -> bool:
    """True when secrets or certificates of sources stand in files, or in the environment."""
    secrets = [directory.bind_password for directory in config.directories.values()]
    secrets += [service.secret for service in config.auth.http.values()]
    files = [directory.ca for directory in config.directories.values()]
    files += [service.ca for service in config.auth.http.values()]
    return any(files) or any(secret.file or secret.env for secret in secrets)
