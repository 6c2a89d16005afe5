"""Rules about reports, `[tls_reports]` and `[dmarc_reports]`: ours have to be believed, those of others able to come.

Most is no mistake but doubted: another relay may bring reports here, or sign those that leave (RFC 8460 5.3), and what
is reported may not be judged yet.
"""

from collections.abc import Iterator

from postroad.config.problem import Problem, Warned
from postroad.config.schema import Config


def check_reports(config: Config) -> Iterator[Problem]:
    """Reports from nobody or of nothing, addresses that strangers cannot write to, and a door in no wall."""
    yield from _about_tls(config)
    yield from _about_dmarc(config)
    for name in ("tls_reports", "dmarc_reports"):
        settings = getattr(config, name)
        for at, address in enumerate(() if settings is None else settings.received_at):
            if not config.access.is_for_all(address.rpartition("@")[2].lower()):
                words = "access.relay_domains does not have its domain, so no report comes here"
                yield Warned((name, "received_at", at), f'"{address}": {words}')


def _about_tls(config: Config) -> Iterator[Problem]:
    settings = config.tls_reports
    if settings is None:
        return
    if settings.received_by_https and config.api is None:
        yield Problem(("tls_reports", "received_by_https"), "needs [api], where reports are handed in")
    if settings.received_by_https and not settings.received_about and not config.access.relay_domains:
        words = "needs received_about, or access.relay_domains: reports about other domains are refused"
        yield Problem(("tls_reports", "received_by_https"), words)
    if not _is_signed(config, settings.from_.rpartition("@")[2].lower()):
        words = "no key of [dkim] signs for its domain, and reports by mail without a signature are thrown away"
        yield Warned(("tls_reports", "from"), f'"{settings.from_}": {words}')


def _about_dmarc(config: Config) -> Iterator[Problem]:
    settings = config.dmarc_reports
    if settings is None:
        return
    if settings.failures and settings.from_ is None:
        yield Problem(("dmarc_reports", "failures"), "reports need an address to come from: dmarc_reports.from")
    if settings.from_ is not None and all(one.use != "dmarc" for one in config.policies):
        yield Warned(("dmarc_reports", "from"), 'no [[policies]] uses "dmarc", so there is nothing to report')


def _is_signed(config: Config, domain: str) -> bool:
    """True when mail of our own in the name of `domain` gets its signature."""
    keys = () if config.dkim is None else config.dkim.keys
    return any(one.domain.lower() == domain and not one.listeners and not one.logins for one in keys)
