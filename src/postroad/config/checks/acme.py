"""Rules about `[acme]`, what it needs of this host, and what an order is to be by it.

The CA itself is never asked here: one that is down must not keep a configuration from being taken.
"""

import os
import ssl
from collections.abc import Iterator
from typing import Final

from postroad.config.checks.desk import overlap
from postroad.config.describe import value_text
from postroad.config.problem import Problem, Warned, path_text
from postroad.config.schema import Config
from postroad.config.secrets import read_secret
from postroad.model.acme import Wanted
from postroad.model.errors import ConfigError
from postroad.model.late import Late
from postroad.model.option import parse_endpoint
from postroad.net.acme.ordering import MakeClient
from postroad.net.tls.settings import NONE

CLIENT: Final = Late[MakeClient]("postroad.net.acme.client", "make_client", extra="acme")
_KEY: Final = "acme.external_account.key"


def wanted_of(config: Config) -> Wanted:
    """What is to be ordered; ConfigError when the secret cannot be read."""
    acme = config.acme
    assert acme is not None, "only with the section"
    one = acme.external_account
    return Wanted(
        directory=acme.directory,
        names=acme.names or (config.hostname,),
        contact=acme.contact,
        challenge=acme.challenge,
        key=acme.key,
        ca="" if acme.ca == NONE else str(acme.ca),
        kid="" if one is None else one.kid,
        secret="" if one is None else read_secret(one.key, _KEY),
    )


def check_acme(config: Config) -> Iterator[Problem]:
    """Options that contradict one another, and addresses that are taken."""
    acme = config.acme
    if acme is None:
        return
    if not acme.agree_tos:
        yield Problem(("acme", "agree_tos"), "read the terms of service of the CA, and set it to true")
    if acme.challenge == "http-01" and not acme.bind and config.desk is None:
        yield Problem(("acme", "challenge"), '"http-01": needs acme.bind, or [desk], to be answered at')
    if not acme.names and "." not in config.hostname:
        yield Problem(("acme", "names"), f'none are given, and no CA knows hostname "{config.hostname}"')
    for name in {name for name in acme.names if acme.names.count(name) > 1}:
        yield Problem(("acme", "names"), f"{value_text(name)}: stands there twice")
    yield from _addresses(config, acme.answering_at)


def _addresses(config: Config, wanted: tuple[str, ...]) -> Iterator[Problem]:
    seen = [
        (*parse_endpoint(bind), path_text((*path, "bind", at)))
        for path, binds in _others(config)
        for at, bind in enumerate(binds)
    ]
    for at, bind in enumerate(wanted):
        address, port = parse_endpoint(bind)
        for other, other_port, where in seen:
            if port and port == other_port and overlap(address, other):
                yield Problem(("acme", "bind", at), f"{value_text(bind)}: {where} listens there already")
                break
        seen.append((address, port, path_text(("acme", "bind", at))))


def _others(config: Config) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    for name, listener in config.listeners.items():
        yield ("listeners", name), listener.bind
    if config.desk is not None:
        yield ("desk",), config.desk.bind
    if config.api is not None:
        yield ("api",), config.api.bind


def check_acme_places(config: Config) -> Iterator[Problem]:
    """What is missing on this host."""
    acme = config.acme
    if acme is None:
        return
    try:
        CLIENT.load()
        wanted_of(config)
    except ConfigError as error:
        is_key = str(error).startswith(_KEY)
        path = ("acme", "external_account", "key") if is_key else ("acme",)
        yield Problem(path, str(error).removeprefix(f"{_KEY}: "))
    if acme.ca != NONE:
        try:
            ssl.create_default_context(cafile=acme.ca)
        except (OSError, ValueError) as error:  # no such file, or no certificates in it
            yield Problem(("acme", "ca"), f"{value_text(str(acme.ca))}: {getattr(error, 'strerror', None) or error}")
    if config.process.edges and os.geteuid() == 0 and config.process.user:
        ports = [parse_endpoint(bind)[1] for bind in acme.answering_at]
        if any(0 < port < 1024 for port in ports):
            yield Warned(
                ("acme", "bind"),
                "with process.edges the port is taken after root was given up: "
                "start with CAP_NET_BIND_SERVICE instead of as root",
            )
