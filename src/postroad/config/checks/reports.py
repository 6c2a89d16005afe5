"""Rules about reports of others, `[tls_reports]` and `[dmarc_reports]`: they have to be able to come.

Nothing in here is a mistake: a relay behind this one may bring them.
"""

from collections.abc import Iterator

from postroad.config.problem import Problem, Warned
from postroad.config.schema import Config


def check_reports(config: Config) -> Iterator[Problem]:
    """Addresses that strangers cannot write to."""
    for name in ("tls_reports", "dmarc_reports"):
        settings = getattr(config, name)
        for at, address in enumerate(() if settings is None else settings.received_at):
            if not config.access.is_for_all(address.rpartition("@")[2].lower()):
                words = "access.relay_domains does not have its domain, so no report comes here"
                yield Warned((name, "received_at", at), f'"{address}": {words}')
