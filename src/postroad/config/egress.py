"""`[sources]` and `[pools]`: rules across their options, what they ask of this host, and what delivery makes of them.

Rules are pure functions of the configuration. Files and proxies that cannot be used keep the server from starting; an
address that is not on this host is a doubt alone, for it may come later, and until then the mail waits and says why.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from postroad.config.describe import value_text
from postroad.config.locate import KeyPath
from postroad.config.problem import Problem, Warned, path_text
from postroad.config.schema import Config
from postroad.config.secrets import read_secret
from postroad.delivery.egress import Egress, Source
from postroad.delivery.sourcesettings import SourceSettings
from postroad.model.errors import ConfigError
from postroad.model.option import Secret
from postroad.net.addresses import is_own_address
from postroad.net.proxy import HAPROXY, Proxy, parse_proxy
from postroad.net.tls.client import ClientContexts

_FAMILY_MARKS = ((".", "ipv4", "IPv4"), (":", "ipv6", "IPv6"))


def egress_rules(config: Config) -> Iterator[Problem]:
    """Sources that contradict themselves, and pools of what is not there."""
    for name, source in config.sources.items():
        path: KeyPath = ("sources", name)
        yield from _certificate(path, source)
        yield from _families(path, source)
        if source.proxy.text:
            yield from _proxy(path, source, source.proxy.text)
    for name, pool in config.pools.items():
        if name in config.sources:
            yield Problem(("pools", name), f"{value_text(name)}: is the name of a source, too; a route could not tell")
        for member in pool.sources:
            if member not in config.sources:
                known = ", ".join(config.sources) or "none"
                yield Problem(
                    ("pools", name, "sources", member), f"{value_text(member)}: no such source; there are: {known}"
                )


def _certificate(path: KeyPath, source: SourceSettings) -> Iterator[Problem]:
    given = source.files
    if len(given) == 1:
        (one,) = given
        other = "key" if one == "certificate" else "certificate"
        yield Problem((*path, one), f"{value_text(given[one])}: is of no use without {path_text((*path, other))}")


def _families(path: KeyPath, source: SourceSettings) -> Iterator[Problem]:
    """An `ip` that needs an address the source does not have."""
    if not source.address:
        return
    for mark, ip, name in _FAMILY_MARKS:
        if source.ip == ip and not any(mark in address for address in source.address):
            yield Problem(
                (*path, "ip"), f"{value_text(source.ip)}: {path_text((*path, 'address'))} has no {name} address"
            )


def _proxy(path: KeyPath, source: SourceSettings, text: str) -> Iterator[Problem]:
    try:
        proxy = parse_proxy(text)
    except ValueError as error:
        yield Problem((*path, "proxy"), str(error))
        return
    address = path_text((*path, "address"))
    if proxy.scheme == HAPROXY and not source.address:
        yield Problem((*path, "proxy"), f"HAProxy must be told which address to connect from; set {address}")
    if proxy.scheme != HAPROXY and source.address:
        yield Problem((*path, "address"), "a SOCKS5 proxy chooses the address itself; leave it out, or the proxy")


def check_egress(config: Config) -> Iterator[Problem]:
    """What on this host stands in the way of a source."""
    for name, source in config.sources.items():
        path: KeyPath = ("sources", name)
        if source.proxy.file or source.proxy.env:
            yield from _hidden_proxy(path, source)
        if not source.proxy:
            for address in source.address:
                if not is_own_address(address):
                    yield Warned(
                        (*path, "address"),
                        f"{value_text(address)}: is not an address of this host; mail from this source will wait",
                    )
        if len(source.files) == 2:
            try:
                ClientContexts(source.certificate, source.key)
            except ConfigError as error:
                yield Problem((*path, "certificate"), str(error))


def _hidden_proxy(path: KeyPath, source: SourceSettings) -> Iterator[Problem]:
    option = path_text((*path, "proxy"))
    try:
        text = read_secret(source.proxy, option)
    except ConfigError as error:
        yield Problem((*path, "proxy"), str(error).removeprefix(f"{option}: "))
        return
    yield from _proxy(path, source, text)


def anchored(config: Config, folder: Path) -> Config:
    """`config` with the files of its sources relative to `folder`, the configuration's own."""
    sources = {
        name: source.model_copy(
            update={
                **{option: _absolute(folder, file) for option, file in source.files.items()},
                "proxy": _anchored_secret(source.proxy, folder),
            }
        )
        for name, source in config.sources.items()
    }
    return config.model_copy(update={"sources": sources}) if sources else config


def _anchored_secret(secret: Secret, folder: Path) -> Secret:
    return Secret(file=str(_absolute(folder, Path(secret.file)))) if secret.file else secret


def _absolute(folder: Path, file: Path) -> Path:
    return (folder / file.expanduser()).absolute()


def egress_of(config: Config, tell: Callable[[str], None] | None = None) -> Egress:
    """What `config` says, for delivery; ConfigError when a file or a secret cannot be read.

    `tell` hears of files that cannot be used after they have changed.
    """
    sources = {name: _source(name, source, config, tell) for name, source in config.sources.items()}
    return Egress(sources, {name: pool.sources for name, pool in config.pools.items()})


def _source(name: str, source: SourceSettings, config: Config, tell: Callable[[str], None] | None) -> Source:
    proxy: Proxy | None = None
    if source.proxy:
        proxy = parse_proxy(read_secret(source.proxy, f"sources.{name}.proxy"))
    contexts = None
    if source.files:
        contexts = ClientContexts(source.certificate, source.key, ca=config.tls_out.anchors, tell=tell)
    return Source(
        name,
        ipv4=next((address for address in source.address if "." in address), ""),
        ipv6=next((address for address in source.address if ":" in address), ""),
        hostname=source.ehlo,
        ip=config.delivery.ip if source.ip == "default" else source.ip,
        proxy=proxy,
        tls=contexts,
    )
