"""`[dkim]` at work: the keys are read, and mail that is accepted or our own is signed. Without it nothing is loaded.

Key files may change behind unchanged options: a reload then reads them anew.
"""

from typing import Final

from postroad.config.schema import Config
from postroad.config.secrets import read_secret
from postroad.listener.sign import MakeSign, Signatures
from postroad.model.late import Late

MAKE: Final = Late[MakeSign]("postroad.listener.signing", "MAKE")


def signatures_of(config: Config) -> Signatures | None:
    """What signs mail; None when nothing does. ConfigError when a key cannot be used. Slow."""
    return None if config.dkim is None else MAKE.load()(config.dkim, read_secret)


def has_key_files(config: Config) -> bool:
    """True when keys may have changed though the options have not."""
    if config.dkim is None:
        return False
    secrets = [one.key for one in config.dkim.keys]
    secrets += [config.dkim.seal.key] if config.dkim.seal is not None else []
    return any(secret.file or secret.env for secret in secrets)
