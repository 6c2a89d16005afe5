"""Rules about the defence against abuse: `[bans]`, `[tarpit]`, `[breaker]`, and proxies that are believed.

Pure functions of the configuration, like those in `config.check`.
"""

from collections.abc import Iterator

from postroad.config.describe import duration_text
from postroad.config.problem import Problem, Warned
from postroad.config.schema import Config


def check_shield(config: Config) -> Iterator[Problem]:
    """Every rule about it."""
    yield from _proxies(config)
    yield from _bans(config)
    tarpit = config.tarpit
    if tarpit is not None and tarpit.longest < tarpit.delay:
        yield Problem(
            ("tarpit", "longest"),
            f'"{duration_text(tarpit.longest)}": shorter than the first wait '
            f'(tarpit.delay is "{duration_text(tarpit.delay)}")',
        )
    if config.breaker is not None and not any(one.auth != "off" or one.xclient for one in config.listeners.values()):
        yield Warned(("breaker",), "has no effect: no listener lets anybody log in (auth is off, and xclient is empty)")


def _proxies(config: Config) -> Iterator[Problem]:
    """The PROXY protocol is expected of somebody, and nobody is named without it."""
    for name, listener in config.listeners.items():
        if listener.proxy_protocol and not listener.proxies:
            yield Problem(
                ("listeners", name, "proxy_protocol"),
                "true: nobody could connect; name the networks of the proxies in `proxies`",
            )
        if listener.proxies and not listener.proxy_protocol:
            yield Problem(
                ("listeners", name, "proxies"),
                "they would not be believed: proxy_protocol = true expects the header of the PROXY protocol",
            )


def _bans(config: Config) -> Iterator[Problem]:
    bans = config.bans
    if bans is None:
        return
    if bans.longest < bans.time:
        yield Problem(
            ("bans", "longest"),
            f'"{duration_text(bans.longest)}": shorter than the first ban (bans.time is "{duration_text(bans.time)}")',
        )
    if not (bans.auth_failed or bans.unknown_recipient or bans.refused or bans.talked_first):
        yield Warned(("bans",), "nothing counts: only orders ban anybody")
