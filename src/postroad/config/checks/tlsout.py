"""`[tls_out]`: rules across its options, and the files that it names, read as deliveries will read them.

Rules are pure functions of the configuration. A file that cannot be used keeps the server from starting.
"""

from collections.abc import Iterator
from pathlib import Path

from postroad.config.describe import value_text
from postroad.config.locate import KeyPath
from postroad.config.problem import Problem, Warned
from postroad.config.schema import Config
from postroad.model.errors import ConfigError
from postroad.net.tls.client import ClientContexts, Trust
from postroad.routing.tlssettings import NONE, DestinationSettings

_FOR_VERIFIED = ("names", "ca", "crl")


def tls_out_rules(config: Config) -> Iterator[Problem]:
    """Destinations that nothing matches, or whose options contradict their level."""
    seen: dict[str, int] = {}
    for number, one in enumerate(config.tls_out.destinations):
        path: KeyPath = ("tls_out", "destinations", number)
        if not one.domains and not one.hosts:
            yield Problem(path, "is for nobody: give domains or hosts")
        yield from _options(path, one, is_asked=config.tls_out.dane)
        for option, pattern in (*(("domains", text) for text in one.domains), *(("hosts", text) for text in one.hosts)):
            first = seen.setdefault(f"{option} {pattern}", number)
            if first != number:
                yield Warned((*path, option), f"{value_text(pattern)}: tls_out.destinations[{first}] has it, and wins")


def _options(path: KeyPath, one: DestinationSettings, *, is_asked: bool) -> Iterator[Problem]:
    given = [option for option in _FOR_VERIFIED if option in one.model_fields_set]
    if one.level != "verified":
        for option in given:
            yield Problem((*path, option), f'has no meaning with level = "{one.level}"; it is for "verified"')
    if one.level == "fingerprint" and not one.fingerprints:
        yield Problem((*path, "level"), '"fingerprint": needs fingerprints')
    if one.level != "fingerprint" and one.fingerprints:
        yield Problem((*path, "fingerprints"), f'has no meaning with level = "{one.level}"; it is for "fingerprint"')
    if one.level == "dane" and not is_asked:
        yield Problem((*path, "level"), '"dane": needs tls_out.dane = true, else no TLSA records are looked up')
    if one.crl != NONE and one.ca == NONE:
        yield Problem((*path, "crl"), "needs ca: the lists are of the authorities there, and all of them need one")


def check_tls_out_files(config: Config) -> Iterator[Problem]:
    """Files that cannot be read, or hold no certificate."""
    if config.tls_out.ca != NONE:
        yield from _read(("tls_out", "ca"), config.tls_out.ca)
    if config.tls_out.mta_sts_ca != NONE:
        yield from _read(("tls_out", "mta_sts_ca"), config.tls_out.mta_sts_ca)
    for number, one in enumerate(config.tls_out.destinations):
        path: KeyPath = ("tls_out", "destinations", number)
        if one.ca != NONE:
            yield from _read((*path, "ca"), one.ca)
        if NONE not in (one.ca, one.crl):
            yield from _read((*path, "crl"), one.ca, one.crl)


def _read(path: KeyPath, ca: Path, crl: Path = NONE) -> Iterator[Problem]:
    try:
        ClientContexts().of(Trust(True, str(ca), "" if crl == NONE else str(crl)))
    except ConfigError as error:
        yield Problem(path, str(error))
