"""Rules about `[dkim]`: a key is there once, can sign at some time, and for listeners that exist.

Anything else would be an option without effect.
"""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from postroad.config.describe import value_text
from postroad.config.locate import KeyPath
from postroad.config.problem import Problem, Warned
from postroad.config.schema import Config
from postroad.config.secrets import read_secret
from postroad.listener.signsettings import DkimKeySettings, SealSettings
from postroad.mailauth.dkim_facts import ReadKey
from postroad.model.errors import ConfigError
from postroad.model.late import Late
from postroad.model.option import Secret

READ_KEY: Final = Late[ReadKey]("postroad.mailauth.dkim_keys", "READ")
OTHERS: Final = stat.S_IRWXO | stat.S_IWGRP | stat.S_IXGRP  # a group of the server alone may read


def check_signing(config: Config) -> Iterator[Problem]:
    """Keys that are there twice or would never sign, and fields that are not signed."""
    if config.dkim is None:
        return
    if not config.dkim.keys and config.dkim.seal is None:
        yield Problem(("dkim",), "has neither keys nor a seal: nothing would be signed; leave the section out")
    if config.dkim.seal is not None and not any(one.use == "dkim" for one in config.policies):
        yield Problem(("dkim", "seal"), 'has no effect without [[policies]] use = "dkim", which checks earlier seals')
    seen: dict[tuple[str, str], int] = {}
    for at, one in enumerate(config.dkim.keys):
        path = ("dkim", "keys", at)
        first = seen.setdefault((one.domain, one.selector), at)
        if first != at:
            yield Problem(
                (*path, "selector"), f'"{one.selector}": dkim.keys[{first}] is called so in {one.domain}, too'
            )
        if one.begins and one.ends and one.ends <= one.begins:
            yield Problem((*path, "ends"), f'"{one.ends}": it would never sign, for it begins on {one.begins}')
        for number, name in enumerate(one.listeners):
            if name not in config.listeners:
                yield Problem((*path, "listeners", number), f'"{name}": no listener is called so')
    signed = {name.lower() for name in config.dkim.signed}
    for number, name in enumerate(config.dkim.oversigned):
        if name.lower() not in signed and "oversigned" in config.dkim.model_fields_set:
            yield Problem(("dkim", "oversigned", number), f'"{name}": dkim.signed has it not')


def check_signing_keys(config: Config) -> Iterator[Problem]:
    """Keys that cannot be read on this host, or are none; doubts about files that others may read or change."""
    if config.dkim is None:
        return
    seal = config.dkim.seal
    places: list[tuple[KeyPath, DkimKeySettings | SealSettings]] = [
        (("dkim", "keys", at), one) for at, one in enumerate(config.dkim.keys)
    ]
    places += [(("dkim", "seal"), seal)] if seal is not None else []
    for path, one in places:
        option = f"dkim.keys[{path[2]}].key" if len(path) > len(("dkim", "seal")) else "dkim.seal.key"
        try:
            READ_KEY.load()(one.domain, one.selector, one.key, option, read_secret)
        except ConfigError as error:
            yield Problem((*path, "key"), str(error).removeprefix(f"{option}: "))
            continue
        yield from doubts_about_file((*path, "key"), one.key)


def doubts_about_file(path: KeyPath, secret: Secret) -> Iterator[Problem]:
    """A warning when `secret` is in a file, which is there, that others can read or change."""
    if secret.file and Path(secret.file).stat().st_mode & OTHERS:
        yield Warned(path, f"{value_text(secret.file)}: others can read or change it; chmod 600, or 640")
