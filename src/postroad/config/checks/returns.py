"""Rules about `[batv]` and `[verp]`: they are for domains of ours.

What leaves other domains is never changed by them, and only reports to ours come here: elsewhere they would be options
without effect.
"""

from collections.abc import Iterator
from typing import Final

from postroad.config.problem import Problem
from postroad.config.schema import Config

_NOT_OURS: Final = "access.relay_domains has it not, so no report comes here"


def check_returns(config: Config) -> Iterator[Problem]:
    """Domains and senders that would never be."""
    for at, domain in enumerate(() if config.batv is None else config.batv.domains):
        if not config.access.is_for_all(domain):
            yield Problem(("batv", "domains", at), f'"{domain}": {_NOT_OURS}')
    for at, pattern in enumerate(() if config.verp is None else config.verp.senders):
        domain = pattern.rpartition("@")[2]
        if "*" not in domain.removeprefix("*.") and not config.access.is_for_all(domain.lower()):
            yield Problem(("verp", "senders", at), f'"{pattern}": {_NOT_OURS}')
