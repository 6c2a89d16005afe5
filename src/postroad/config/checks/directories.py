"""Rules about directories, the secrets they need, and whether their servers answer.

Servers are asked by `postroad check` alone, and what is wrong with them is a doubt, never a problem: a server that is
down at the start must not keep mail from being served.
"""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from postroad.config.problem import Problem, Warned
from postroad.config.schema import Config
from postroad.config.secrets import read_secret
from postroad.model.errors import ConfigError
from postroad.net.clock import SystemClock
from postroad.net.ldap.directories import make_directory, terms_of
from postroad.net.ldap.server import LdapServer, parse_server
from postroad.net.settings import DirectorySettings


def check_directories(config: Config) -> Iterator[Problem]:
    """Names and passwords without each other, servers named twice, secrets in the clear, times that contradict."""
    for name, directory in config.directories.items():
        path = ("directories", name)
        if directory.bind_dn and not directory.bind_password:
            yield Problem(
                (*path, "bind_dn"),
                f'"{directory.bind_dn}": needs bind_password: a server takes a bind without one for nobody\'s',
            )
        if directory.bind_password and not directory.bind_dn:
            yield Problem((*path, "bind_password"), "(a secret, not shown): needs bind_dn, whose password it is")
        servers = [parse_server(text) for text in directory.servers]
        for at, server in enumerate(servers):
            if server in servers[:at]:
                yield Problem((*path, "servers", at), f'"{directory.servers[at]}": is named already')
            elif not directory.starttls and not server.is_implicit and not _is_near(server):
                yield Warned(
                    (*path, "servers", at),
                    f'"{directory.servers[at]}": passwords go in the clear; use starttls, or ldaps://',
                )
        if directory.ca and not directory.starttls and not any(server.is_implicit for server in servers):
            yield Problem(
                (*path, "ca"), f'"{directory.ca}": means nothing here: without starttls or ldaps:// there is no TLS'
            )
        if max(directory.connect_timeout, directory.answer_timeout) > directory.timeout:
            yield Problem(
                (*path, "timeout"), "is less than connect_timeout or answer_timeout, for which there would be no time"
            )


def check_directory_files(config: Config) -> Iterator[Problem]:
    """Files of certificates, and secrets, that cannot be read here."""
    for name, directory in config.directories.items():
        try:
            terms_of(directory)
        except ConfigError as error:
            yield Problem(("directories", name, "ca"), str(error))
        try:
            directory_password(name, directory)
        except ConfigError as error:
            yield Problem(("directories", name, "bind_password"), str(error).partition(": ")[2])


def directory_password(name: str, directory: DirectorySettings) -> str:
    """The password of `bind_dn`, "" when there is none; ConfigError when it cannot be read."""
    secret = directory.bind_password
    return read_secret(secret, f"directories.{name}.bind_password") if secret else ""


def probe_directories(config: Config) -> list[Problem]:
    """What is wrong with each server, as doubts; asks them all, and blocks for as long as they may take."""
    with ThreadPoolExecutor(1, "probe") as thread:  # whoever asks may be on an event loop of their own
        return thread.submit(asyncio.run, _probe(config)).result()


async def _probe(config: Config) -> list[Problem]:
    found: list[Problem] = []
    for name, settings in config.directories.items():
        try:
            directory = make_directory(settings, directory_password(name, settings), SystemClock())
        except ConfigError:
            continue  # told as a problem of the file
        for at, fault in (await directory.probe()).items():
            found.append(Warned(("directories", name, "servers", at), f'"{settings.servers[at]}": {fault}'))
        await directory.close()
    return found


def _is_near(server: LdapServer) -> bool:
    return server.host in ("localhost", "::1") or server.host.startswith("127.")
