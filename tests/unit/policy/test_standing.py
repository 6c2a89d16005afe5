"""Senders that belong to a login, and devices that are bound to what they are for."""

from pathlib import Path
from typing import Any

import pytest

from postroad.policy.rules.owners import parse_delegations
from tests.support.ruling import config_of, judge

ANNA: dict[str, Any] = {"login": "Anna@example.com", "ip": "192.0.2.1"}
ACCEPT = '\n[[rules]]\nwhen = { login = "*" }\nthen = "accept"\n'
NOT_YOURS = "553 5.7.1 Sender address rejected: not yours to use"


@pytest.mark.parametrize(
    ("sender", "addresses", "outcome"),
    [
        ("anna@example.com", (), "accept"),
        ("ANNA@EXAMPLE.COM", (), "accept"),
        ("anna@example.org", (), "reject"),
        ("info@example.org", ("Info@example.org",), "accept"),
        ("team@example.net", (), "accept"),
        ("sales-de@example.net", (), "accept"),
        ("boss@example.net", (), "reject"),
        ("x@whole.example", (), "accept"),
        ("x@sub.whole.example", (), "reject"),
        ("", (), "accept"),
    ],
)
def test_a_login_sends_as_itself_its_own_and_what_is_delegated(
    tmp_path: Path, sender: str, addresses: tuple[str, ...], outcome: str
) -> None:
    file = tmp_path / "delegates"
    file.write_text("# who\nanna@example.com  team@example.net, sales-*@example.net\nANNA@example.com whole.example\n")
    config = config_of(f'senders = {{ bind = true, delegates = "{file}" }}' + ACCEPT)
    found = judge(config, sender=sender, addresses=addresses, **ANNA)
    assert found.outcome == outcome
    assert found.reply == (NOT_YOURS if outcome == "reject" else "")


@pytest.mark.parametrize(
    ("header", "outcome"),
    [
        ("Anna <anna@example.com>", "accept"),
        ("anna@example.com, Boss <boss@example.com>", "reject"),
        ('"anna@example.com" <boss@example.com>', "reject"),
        ("Boss <boss@@example.com>", "reject"),
        ("Boss: anna@example.com, ceo@example.com;", "reject"),
    ],
)
def test_the_from_field_is_bound_too(header: str, outcome: str) -> None:
    bound, free = (
        config_of("senders.bind = true" + ACCEPT),
        config_of("senders = { bind = true, header = false }" + ACCEPT),
    )
    given: dict[str, Any] = {"sender": "anna@example.com", "headers": {"From": header}}
    assert judge(bound, **given, **ANNA).outcome == outcome
    assert judge(free, **given, **ANNA).outcome == "accept"


def test_what_binding_leaves_alone() -> None:
    config = config_of('senders = { bind = true, exempt = "app-*" }' + ACCEPT)
    assert judge(config, sender="x@example.org", login="App-7").outcome == "accept"
    assert judge(config, sender="x@example.org", ip="10.1.1.1", to="a@example.net").outcome == "accept"  # no login
    assert judge(config_of("senders = { bind = true, null = false }" + ACCEPT), sender="", **ANNA).reply == NOT_YOURS


def test_delegations_that_say_nothing() -> None:
    with pytest.raises(ValueError, match='"anna" has no addresses'):
        parse_delegations(["anna"])
    with pytest.raises(ValueError, match="not a pattern of addresses"):
        parse_delegations(["anna  a@@b"])


DEVICES = """
[devices.scanner]
networks = ["198.51.100.0/28", "2001:db8:1::/64"]
listeners = "submission"
senders = ["scanner@example.com", "*@scan.example.com"]
recipients = ["example.com", "archive@partner.example"]

[devices.sensor]
networks = "198.51.100.128/25"
internal = true

[[rules]]
name = "nothing large"
when = { network = "198.51.100.0/24", larger_than = 1000 }
then = { reject = "Too large" }
"""


@pytest.mark.parametrize(
    ("ip", "sender", "to", "outcome", "by"),
    [
        ("198.51.100.1", "scanner@example.com", "a@example.com", "accept", "devices.scanner"),
        ("2001:db8:1::9", "3@scan.example.com", "archive@partner.example", "accept", "devices.scanner"),
        ("198.51.100.1", "boss@example.com", "a@example.com", "reject", "devices.scanner senders"),
        ("198.51.100.1", "", "a@example.com", "reject", "devices.scanner senders"),
        ("198.51.100.1", "scanner@example.com", "x@partner.example", "reject", "devices.scanner recipients"),
        ("198.51.100.200", "any@example.org", "a@sub.example.com", "accept", "devices.sensor"),
        ("198.51.100.200", "any@example.org", "a@example.net", "reject", "devices.sensor internal"),
        ("198.51.100.100", "any@example.org", "a@example.net", "reject", "relay control"),
    ],
)
def test_devices_are_bound_to_what_they_are_for(ip: str, sender: str, to: str, outcome: str, by: str) -> None:
    found = judge(config_of(DEVICES), ip=ip, sender=sender, to=to, listener="submission")
    assert (found.outcome, found.by) == (outcome, by)


def test_devices_obey_other_rules_and_are_known_at_their_listener_alone() -> None:
    config = config_of(DEVICES)
    scan: dict[str, Any] = {"ip": "198.51.100.1", "sender": "scanner@example.com", "to": "archive@partner.example"}
    assert judge(config, **scan, size=2000, listener="submission").by == "nothing large"
    assert judge(config, **scan, listener="mx").by == "relay control"
    assert judge(config, **scan, listener="submission", login="anna").by == "relay control"
