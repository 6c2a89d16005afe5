"""Rules about `[dkim]`: a key is there once, can sign at some time, and for listeners that exist.

Anything else would be an option without effect.
"""

from collections.abc import Iterator
from typing import Final

from postroad.config.problem import Problem
from postroad.config.schema import Config
from postroad.config.secrets import read_secret
from postroad.mailauth.dkim_facts import ReadKey
from postroad.model.errors import ConfigError
from postroad.model.late import Late

READ_KEY: Final = Late[ReadKey]("postroad.mailauth.dkim_private", "READ")


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
    """Keys that cannot be read on this host, or are none."""
    for at, one in enumerate(() if config.dkim is None else config.dkim.keys):
        option = f"dkim.keys[{at}].key"
        try:
            READ_KEY.load()(one.domain, one.selector, read_secret(one.key, option).encode())
        except ConfigError as error:
            yield Problem(("dkim", "keys", at, "key"), str(error).removeprefix(f"{option}: "))
    seal = None if config.dkim is None else config.dkim.seal
    if seal is not None:
        try:
            READ_KEY.load()(seal.domain, seal.selector, read_secret(seal.key, "dkim.seal.key").encode())
        except ConfigError as error:
            yield Problem(("dkim", "seal", "key"), str(error).removeprefix("dkim.seal.key: "))
