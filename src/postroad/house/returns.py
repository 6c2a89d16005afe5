"""`[srs]`, `[batv]` and `[verp]` at work: reverse-paths on the way out, and on the way in what was signed.

Both sides read the same secrets, which may have changed behind unchanged options: a reload then makes them anew.
"""

from collections.abc import Callable

from postroad.config.schema import Config
from postroad.config.secrets import read_secret
from postroad.delivery.returnpath import ReturnPaths
from postroad.delivery.returnpathsettings import BatvSettings, SrsSettings
from postroad.delivery.verp import Verp
from postroad.mailauth.srs import Batv, Signer, Srs
from postroad.model.address import NULL_PATH
from postroad.policies.relay_control import RelayControl
from postroad.policies.returns import ReturnedMail


def paths_of(config: Config, now: Callable[[], int]) -> ReturnPaths | None:
    """What reverse-paths mail leaves with; None when always as it came. ConfigError when a secret cannot be read."""
    if config.srs is None and config.batv is None and config.verp is None:
        return None
    control = RelayControl(config.access, NULL_PATH)
    return ReturnPaths(
        None if config.srs is None else (_srs(config.srs), config.srs),
        None if config.batv is None else (_batv(config.batv), config.batv),
        None if config.verp is None else Verp(config.verp),
        is_ours=lambda mailbox: control.relay_domain_of(mailbox) is not None,
        now=now,
    )


def returned_of(config: Config, now: Callable[[], int]) -> ReturnedMail | None:
    """The policy for what comes back; None without any. ConfigError when a secret cannot be read."""
    if config.srs is None and config.batv is None:
        return None
    return ReturnedMail(
        None if config.srs is None else _srs(config.srs),
        None if config.batv is None else (_batv(config.batv), config.batv),
        now,
    )


def has_files(config: Config) -> bool:
    """True when secrets may have changed though the options have not."""
    given = [section for section in (config.srs, config.batv) if section is not None]
    secrets = [secret for section in given for secret in (section.secret, section.old_secret)]
    return any(secret.file or secret.env for secret in secrets)


def _srs(settings: SrsSettings) -> Srs:
    return Srs(settings.domain, _signer("srs", settings), settings.days)


def _batv(settings: BatvSettings) -> Batv:
    return Batv(_signer("batv", settings), settings.days)


def _signer(section: str, settings: SrsSettings | BatvSettings) -> Signer:
    keys = [read_secret(settings.secret, f"{section}.secret")]
    if settings.old_secret:
        keys.append(read_secret(settings.old_secret, f"{section}.old_secret"))
    return Signer(tuple(key.encode() for key in keys))
