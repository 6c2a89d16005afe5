"""The part of `postroad explain` about DKIM: which keys would sign the message, which would not, and why.

Authors are those of the From field that is given, else the sender is thought to be the author. Reports that the server
itself makes are asked about in the same way.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from postroad.cli.layout import printable
from postroad.config.schema import Config
from postroad.config.secrets import read_secret
from postroad.listener.sign import ExplainKeys, KeyAnswer
from postroad.message.addresslist import addresses
from postroad.model.address import parse_domain
from postroad.model.envelope import Envelope, Origin
from postroad.model.errors import AddressError
from postroad.model.late import Late
from postroad.net.clock import SystemClock
from postroad.policy.context import Peer
from postroad.policy.strangers import is_stranger

EXPLAIN: Final = Late[ExplainKeys]("postroad.listener.signexplain", "EXPLAIN")
_SECOND: Final = 1_000_000


class Signing(Struct):
    """What keys do with the message, and with reports of ours; `authors` are the domains that were looked at."""

    authors: list[str]
    message: list[KeyAnswer]
    reports: list[KeyAnswer]


def explain_signing(config: Config, peer: Peer, envelope: Envelope, headers: Sequence[str]) -> Signing | None:
    """None without `[dkim]`; `headers` are fields of the message as far as they were told."""
    if config.dkim is None:
        return None
    now, authors = SystemClock().now() // _SECOND, _authors(envelope, headers)
    explain = EXPLAIN.load()
    reports = explain(config.dkim, read_secret, replace(envelope, origin=Origin()), [config.hostname], now)
    if is_stranger(peer) and not envelope.origin.login:
        return Signing(authors, [KeyAnswer("", False, _of_strangers(config))], reports)
    return Signing(authors, explain(config.dkim, read_secret, envelope, authors, now), reports)


def _of_strangers(config: Config) -> str:
    seal = None if config.dkim is None else config.dkim.seal
    if seal is None:
        return "mail of strangers is never signed"
    return f"mail of strangers is never signed; what is found out of it is sealed by {seal.selector} of {seal.domain}"


def _authors(envelope: Envelope, headers: Sequence[str]) -> list[str]:
    fields = [text for name, _, text in (header.partition(":") for header in headers) if name.strip().lower() == "from"]
    if not fields:
        return [envelope.sender.domain] if envelope.sender.domain else []
    found = []
    for address in addresses(fields[0]):
        try:
            found.append(parse_domain(address.rpartition("@")[2]))
        except AddressError:
            continue
    return found


def signing_lines(signing: Signing | None) -> list[str]:
    """A line for each key, and for each that signs reports."""
    if signing is None:
        return []
    lines = []
    for one in signing.message:
        says = "signs: " if one.signs else "does not sign: " if one.key else "not signed: "
        lines.append(f"dkim      {one.key}{' ' * bool(one.key)}{says}{printable(one.why)}")
    signs = [one.key for one in signing.reports if one.signs]
    last = signing.reports[-1].why
    return [*lines, f"dkim      reports of ours: {', '.join(signs) or printable(last)}"]
