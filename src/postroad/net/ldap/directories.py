"""Directories from their settings (`[directories.NAME]`), and records of how their servers do.

Whoever looks into a directory for one purpose opens it once, so that connections and what is known of its servers are
shared. Invariant: nothing is sent before the first question.
"""

from postroad.model.errors import ConfigError
from postroad.model.records import DirectoryFaulted, DirectoryRecovered, Emit
from postroad.net.clock import Clock
from postroad.net.ldap.directory import Directory, DirectoryTerms, ServerFault, client_context
from postroad.net.ldap.server import parse_server
from postroad.net.settings import DirectorySettings


def terms_of(settings: DirectorySettings) -> DirectoryTerms:
    """What `settings` say; ConfigError when the file of certificates cannot be used."""
    servers = tuple(parse_server(text) for text in settings.servers)
    context = None
    if settings.starttls or any(server.is_implicit for server in servers):
        try:
            context = client_context(settings.ca)
        except (OSError, ValueError) as error:  # no such file, or no certificates in it
            raise ConfigError([f"{settings.ca}: {getattr(error, 'strerror', None) or error}"]) from None
    return DirectoryTerms(
        servers=servers,
        context=context,
        starttls=settings.starttls,
        bind_dn=settings.bind_dn,
        connect_timeout=settings.connect_timeout,
        answer_timeout=settings.answer_timeout,
        timeout=settings.timeout,
        connections=settings.connections,
    )


def make_directory(settings: DirectorySettings, password: str, clock: Clock) -> Directory:
    """The directory of `settings`; `password` is the secret `bind_password`, read. ConfigError."""
    return Directory(terms_of(settings), password, clock)


def tell(directory: Directory, name: str, clock: Clock, emit: Emit) -> None:
    """Make records of its servers' faults from now on; `name` is that of its section."""

    def told(fault: ServerFault) -> None:
        if fault.reason:
            emit(
                DirectoryFaulted(
                    at=clock.now(), directory=name, server=fault.server, reason=fault.reason, pause=fault.pause
                )
            )
        else:
            emit(DirectoryRecovered(at=clock.now(), directory=name, server=fault.server))

    directory.told = told
