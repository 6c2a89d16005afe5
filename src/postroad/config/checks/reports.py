"""Rules about reports, `[tls_reports]` and `[dmarc_reports]`: those of others have to be able to come, ours to be sent.

That nobody can write to an address is no mistake: a relay behind this one may bring reports. Nor is it one to report
what no policy judges yet.
"""

from collections.abc import Iterator

from postroad.config.problem import Problem, Warned
from postroad.config.schema import Config


def check_reports(config: Config) -> Iterator[Problem]:
    """Addresses that strangers cannot write to, and reports from nobody or of nothing."""
    ours = config.dmarc_reports
    if ours is not None and ours.failures and ours.from_ is None:
        yield Problem(("dmarc_reports", "failures"), "reports need an address to come from: dmarc_reports.from")
    if ours is not None and ours.from_ is not None and all(one.use != "dmarc" for one in config.policies):
        yield Warned(("dmarc_reports", "from"), 'no [[policies]] uses "dmarc", so there is nothing to report')
    for name in ("tls_reports", "dmarc_reports"):
        settings = getattr(config, name)
        for at, address in enumerate(() if settings is None else settings.received_at):
            if not config.access.is_for_all(address.rpartition("@")[2].lower()):
                words = "access.relay_domains does not have its domain, so no report comes here"
                yield Warned((name, "received_at", at), f'"{address}": {words}')
