"""Rules about reports, `[tls_reports]` and `[dmarc_reports]`: ours have to be believed, those of others able to come.

Most is no mistake but doubted: another relay may bring reports here, or sign those that leave (RFC 8460 5.3).
"""

from collections.abc import Iterator

from postroad.config.problem import Problem, Warned
from postroad.config.schema import Config


def check_reports(config: Config) -> Iterator[Problem]:
    """Addresses that strangers cannot write to, and a door in no wall."""
    if config.tls_reports is not None and config.tls_reports.received_by_https and config.api is None:
        yield Problem(("tls_reports", "received_by_https"), "needs [api], where reports are handed in")
    if config.tls_reports is not None and not _is_signed(config, config.tls_reports.from_.rpartition("@")[2].lower()):
        words = "no key of [dkim] signs for its domain, and reports by mail without a signature are thrown away"
        yield Warned(("tls_reports", "from"), f'"{config.tls_reports.from_}": {words}')
    for name in ("tls_reports", "dmarc_reports"):
        settings = getattr(config, name)
        for at, address in enumerate(() if settings is None else settings.received_at):
            if not config.access.is_for_all(address.rpartition("@")[2].lower()):
                words = "access.relay_domains does not have its domain, so no report comes here"
                yield Warned((name, "received_at", at), f'"{address}": {words}')


def _is_signed(config: Config, domain: str) -> bool:
    """True when mail of our own in the name of `domain` gets its signature."""
    keys = () if config.dkim is None else config.dkim.keys
    return any(one.domain.lower() == domain and not one.listeners and not one.logins for one in keys)
