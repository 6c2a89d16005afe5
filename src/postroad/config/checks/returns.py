"""Rules about `[batv]`: tags are for domains of ours.

A tag is only put on what leaves our domains, and only looked for in reports to them: elsewhere it would be an option
without effect.
"""

from collections.abc import Iterator

from postroad.config.problem import Problem
from postroad.config.schema import Config


def check_returns(config: Config) -> Iterator[Problem]:
    """Domains that would never be tagged."""
    if config.batv is None:
        return
    for at, domain in enumerate(config.batv.domains):
        if not config.access.is_for_all(domain):
            words = f'"{domain}": access.relay_domains has it not, so no report comes here'
            yield Problem(("batv", "domains", at), words)
