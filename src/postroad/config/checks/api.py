"""Rules about the HTTP API: its address and its keys.

The keys go over the wire, so an address that others can reach is a doubt as long as the API speaks no TLS itself.
"""

from collections.abc import Iterator
from ipaddress import ip_address

from postroad.api.keys import digest_of
from postroad.config.checks.desk import overlap
from postroad.config.describe import value_text
from postroad.config.problem import Problem, Warned, path_text
from postroad.config.schema import Config
from postroad.model.option import parse_endpoint


def check_api(config: Config) -> Iterator[Problem]:
    """An address that is taken, one that others can reach, keys that are none or are there twice."""
    api = config.api
    if api is None:
        return
    seen = [
        (*parse_endpoint(bind), path_text(("listeners", name, "bind", at)))
        for name, listener in config.listeners.items()
        for at, bind in enumerate(listener.bind)
    ]
    desk = () if config.desk is None else config.desk.bind
    seen += [(*parse_endpoint(bind), path_text(("desk", "bind", at))) for at, bind in enumerate(desk)]
    for at, bind in enumerate(api.bind):
        address, port = parse_endpoint(bind)
        path = ("api", "bind", at)
        for other, other_port, where in seen:
            if port and port == other_port and overlap(address, other):
                yield Problem(path, f"{value_text(bind)}: {where} listens there already")
                break
        seen.append((address, port, path_text(path)))
        if not ip_address(address).is_loopback:
            yield Warned(
                path,
                f"{value_text(bind)}: keys and mail would go in the clear; use the loopback, behind a proxy with TLS",
            )
    if api.memory < api.request_size:
        yield Problem(("api", "memory"), "is less than one request may have (api.request_size)")
    if not api.keys and not (config.tls_reports is not None and config.tls_reports.received_by_https):
        yield Warned(("api", "keys"), "is empty: nobody can use the API; `postroad key` makes a key")
    yield from _written_keys(config)


def _written_keys(config: Config) -> Iterator[Problem]:
    digests: dict[bytes, str] = {}
    for name, settings in ({} if config.api is None else config.api.keys).items():
        if settings.key.text:
            try:
                digest = digest_of(settings.key.text)
            except ValueError as error:
                yield Problem(("api", "keys", name, "key"), f"(a secret, not shown): {error}")
                continue
            if digest in digests:
                yield Problem(("api", "keys", name, "key"), f"(a secret, not shown): is that of {digests[digest]} too")
            digests[digest] = name
