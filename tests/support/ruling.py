"""Rules as a configuration has them, compiled, and messages that are taken through them."""

import tomllib

from postroad.config.checks.rules import head_of, tls_state
from postroad.config.rulebook import ruling_of
from postroad.config.schema import Config
from postroad.model.address import NULL_PATH, parse_mailbox
from postroad.model.envelope import Origin
from postroad.model.identity import Identity
from postroad.policies.relay_control import RelayControl
from postroad.policies.rules import Rules
from postroad.policy.chain import Chain
from postroad.policy.context import Peer
from postroad.policy.rules.book import Rulebook
from postroad.policy.rules.rehearsal import Case, Rehearsed, rehearse
from postroad.policy.stages import Stages
from tests.support.conversation import NOW

HEAD = """
hostname = "relay.example.com"
listeners.mx.bind = ["127.0.0.1:2525"]
listeners.submission.bind = ["127.0.0.1:2587"]
access.relay_domains = ["example.com", "*.example.com"]
access.relay_networks = ["10.0.0.0/8"]
"""


def config_of(toml: str) -> Config:
    """The configuration of `toml`, after what all of these have in common."""
    return Config.model_validate(tomllib.loads(HEAD + toml))


def rulebook_of(config: Config) -> Rulebook:
    """Its rules, which must be sound."""
    ruling = ruling_of(config)
    assert ruling.problems == []
    return ruling.rulebook or Rulebook([])


def judge(
    config: Config,
    *,
    sender: str = "a@example.org",
    to: str = "b@example.com",
    ip: str = "192.0.2.1",
    login: str = "",
    groups: tuple[str, ...] = (),
    addresses: tuple[str, ...] = (),
    listener: str = "mx",
    tls: str = "none",
    headers: dict[str, str] | None = None,
    size: int = 100,
    findings: tuple[str, ...] = (),
    now: int = NOW,
) -> Rehearsed:
    """What would come of a message by the rules of `config`, relay control last."""
    control = RelayControl(config.access)
    identity = Identity(login, "test", "", tuple(map(parse_mailbox, addresses)), frozenset(groups)) if login else None
    peer = Peer(ip, control.relays(ip), identity, tls_state(tls))
    case = Case(
        peer,
        Origin(ip, 25, "c.example", "ESMTP", listener, "s", login),
        parse_mailbox(sender) if sender else NULL_PATH,
        parse_mailbox(to),
        now,
        head_of(headers or {}),
        size,
        frozenset(findings),
    )
    return rehearse(rulebook_of(config), case, control)


def stages_of(config: Config) -> Stages:
    """The stages of a listener with the rules of `config` and relay control alone."""
    rules, control = Rules(rulebook_of(config), lambda: NOW), RelayControl(config.access)

    def faults(record: object) -> None:
        raise AssertionError(record)

    return Stages(
        connect=Chain("connect", (rules.rules_at_connect,), timeout=30, emit=faults, now=lambda: NOW)
        if rules.has_connect
        else None,
        mail=Chain("mail", (rules.rules_at_mail,), timeout=30, emit=faults, now=lambda: NOW),
        rcpt=Chain("rcpt", (rules.rules_at_rcpt, control), timeout=30, emit=faults, now=lambda: NOW),
        message=Chain("message", (rules.rules_at_message,), timeout=30, emit=faults, now=lambda: NOW)
        if rules.has_message
        else None,
    )
