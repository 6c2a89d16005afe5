"""Rules about `[srs]`, `[batv]` and `[verp]`: the latter are for domains of ours, and secrets are secret.

What leaves other domains is never changed by them, and only reports to ours come here: elsewhere they would be options
without effect.
"""

from collections.abc import Iterator
from typing import Final

from postroad.config.checks.signing import doubts_about_file
from postroad.config.problem import Problem, Warned
from postroad.config.schema import Config
from postroad.config.secrets import read_secret
from postroad.model.errors import ConfigError
from postroad.model.option import Secret

_SHORT: Final = 16  # octets of a secret that nobody tries out
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


def check_return_secrets(config: Config) -> Iterator[Problem]:
    """Secrets that cannot be read on this host; doubts about those that others may read, or find out by trying."""
    for section, settings in (("srs", config.srs), ("batv", config.batv)):
        for name in ("secret", "old_secret"):
            secret = Secret() if settings is None else getattr(settings, name)
            if secret == Secret():
                continue
            option = f"{section}.{name}"
            try:
                text = read_secret(secret, option)
            except ConfigError as error:
                yield Problem((section, name), str(error).removeprefix(f"{option}: "))
                continue
            yield from doubts_about_file((section, name), secret)
            if len(text.encode()) < _SHORT:
                words = f"has {len(text.encode())} octets; let it have {_SHORT} at random, or more"
                yield Warned((section, name), f"(a secret, not shown): {words}")
