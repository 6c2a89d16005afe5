"""Rules that stand before those of the configuration: senders bound to logins, devices to their purpose (*pure*).

They are rules like any other, so that there is one way in which everything is decided and explained.
"""

from collections.abc import Mapping
from functools import partial
from typing import Final

from msgspec import Struct

from postroad.model.address import Mailbox, parse_mailbox
from postroad.policy.rules.actions import ACCEPT, NONE, REJECT, Action
from postroad.policy.rules.book import Rule
from postroad.policy.rules.conditions import Condition, Tools, mailbox, networks, word
from postroad.policy.rules.owners import Owners
from postroad.policy.rules.settings import DeviceSettings, SenderSettings
from postroad.policy.rules.situation import CONNECT, MAIL, MESSAGE, RCPT, Situation
from postroad.policy.verdict import Adjust
from postroad.smtp import replies

_NOT_YOURS: Final = Action(REJECT, replies.SENDER_NOT_ALLOWED)
_NOT_THERE: Final = Action(REJECT, replies.DEVICE_RECIPIENT)


class Standing(Struct, frozen=True):
    """`rules` come before all others, `grants` are asked when nothing else has decided about a recipient."""

    rules: list[Rule]
    grants: list[Rule]


def standing_rules(
    senders: SenderSettings, devices: Mapping[str, DeviceSettings], tools: Tools, owners: Owners
) -> Standing:
    """The rules of `senders` and `devices`, numbered from 0."""
    found = Standing([], [])
    if senders.bind:
        _bind(senders, tools, owners, found.rules)
    for name, device in devices.items():
        _device(name, device, tools, found)
    return found


def _bind(senders: SenderSettings, tools: Tools, owners: Owners, rules: list[Rule]) -> None:
    exempt = word(senders.exempt, tools) if senders.exempt else None

    def is_bound(situation: Situation) -> bool:
        identity = situation.peer.identity
        return identity is not None and not (exempt is not None and exempt(identity.login))

    def owns(situation: Situation, mailbox: Mailbox) -> bool:
        identity = situation.peer.identity
        return identity is None or owners.owns(identity, mailbox)

    def is_foreign(situation: Situation) -> bool:
        sender = situation.sender
        return not senders.null if sender.is_null else not owns(situation, sender)

    def is_forged(situation: Situation) -> bool:
        return not all(map(partial(owns, situation), situation.from_addresses()))

    login = Condition("login", MAIL, is_bound)
    foreign = Condition("sender is not the login's own", MAIL, is_foreign)
    rules.append(Rule(len(rules), "senders.bind", MAIL, (login, foreign), _NOT_YOURS))
    if senders.header:
        forged = Condition("from is not the login's own", MESSAGE, is_forged)
        rules.append(Rule(len(rules), "senders.header", MESSAGE, (login, forged), _NOT_YOURS))


def _device(name: str, device: DeviceSettings, tools: Tools, found: Standing) -> None:
    is_there = networks(device.networks, tools)
    where = [Condition("network", CONNECT, lambda situation: is_there(situation.number))]
    if device.listeners:
        at = word(device.listeners, tools)
        where.append(Condition("listener", CONNECT, lambda situation: at(situation.listener)))
    where.append(Condition("no login", MAIL, lambda situation: situation.login == ""))
    rules, label = found.rules, f"devices.{name}"
    if device.sender or device.rate:
        adjust = Adjust("", sender=parse_mailbox(device.sender)) if device.sender else None
        terms = Action(NONE, None, adjust, device.rate)
        rules.append(Rule(len(rules), f"{label} terms", MAIL, tuple(where), terms, ends=False))
    if device.senders:
        may_send = mailbox(device.senders, tools)
        foreign = Condition("sender is not the device's", MAIL, lambda situation: not may_send(situation.sender))
        rules.append(Rule(len(rules), f"{label} senders", MAIL, (*where, foreign), _NOT_YOURS))
    if device.recipients:
        may_reach = mailbox(device.recipients, tools)
        far = Condition(
            "recipient is not for it", RCPT, lambda situation: not all(map(may_reach, situation.recipients))
        )
        rules.append(Rule(len(rules), f"{label} recipients", RCPT, (*where, far), _NOT_THERE))
    if device.internal:
        outside = Condition(
            "recipient is outside", RCPT, lambda situation: not all(map(tools.is_local, situation.recipients))
        )
        rules.append(Rule(len(rules), f"{label} internal", RCPT, (*where, outside), _NOT_THERE))
    found.grants.append(Rule(len(found.grants), label, RCPT, tuple(where), Action(ACCEPT)))
