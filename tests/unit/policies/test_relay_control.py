"""Never an open relay: who may send where."""

import pytest

from postroad.model.address import parse_path
from postroad.policies.relay_control import RelayControl
from postroad.policy.settings import AccessSettings
from postroad.policy.verdict import Accept, Reject

ACCESS = AccessSettings.model_validate(
    {
        "relay_networks": ["127.0.0.0/8", "2001:db8::/32"],
        "relay_domains": ["example.com", "*.example.org", "Bücher.example"],
    }
)


@pytest.mark.parametrize(
    ("ip", "relays"),
    [
        ("127.0.0.1", True),
        ("::ffff:127.0.0.1", True),
        ("2001:db8::9", True),
        ("fe80::1%eth0", False),
        ("192.0.2.1", False),
        ("", False),
        ("::1", False),
    ],
)
def test_networks(ip: str, relays: bool) -> None:
    assert RelayControl(ACCESS).relays(ip) is relays


@pytest.mark.parametrize(
    ("recipient", "accepted"),
    [
        (b"a@example.com", True),
        (b"a@EXAMPLE.com", True),
        (b"a@sub.example.com", False),
        (b"a@example.org", False),
        (b"a@sub.example.org", True),
        (b"a@deep.sub.example.org", True),
        (b"a@xn--bcher-kva.example", True),
        (b"a@notexample.com", False),
        (b"a@com", False),
        (b"a%b@example.com", False),
        (b"b!a@example.com", False),
        (b'"a@b"@example.com', False),
        (b"a@[127.0.0.1]", False),
    ],
)
def test_strangers(recipient: bytes, accepted: bool) -> None:
    verdict = RelayControl(ACCESS).decide_stranger(parse_path(recipient))
    assert isinstance(verdict, Accept) is accepted
    if isinstance(verdict, Reject):
        assert (verdict.reply.code, verdict.reply.enhanced) == (554, "5.7.1")
        assert "Relay access denied" in verdict.reply.text
