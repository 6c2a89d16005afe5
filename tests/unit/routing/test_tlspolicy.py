"""Who says what TLS a host must have: a configured destination, then DNS, then nobody; and what a message may ask."""

from typing import Any

import pytest

from postroad.model.dns import Answer, DnsStatus, MxRecord
from postroad.model.outcome import Deferred, Failed, Scope
from postroad.model.reply import Reply
from postroad.model.route import Route
from postroad.model.security import (
    BY_DANE,
    BY_DEFAULT,
    BY_POLICY,
    BY_REQUIRETLS,
    BY_STS,
    DANE,
    FINGERPRINT,
    NONE,
    REQUIRED,
    UNSAID,
    VERIFIED,
    Security,
    TlsObserver,
    TlsOutcome,
)
from postroad.routing.router import Router
from postroad.routing.rules import compile_rules
from postroad.routing.securing import Find, Securing, Validates
from postroad.routing.settings import RouteSettings
from postroad.routing.tlspolicy import Found, TlsRules, decide
from postroad.routing.tlssettings import DestinationSettings
from tests.support.clock import ManualClock

BY_TLSA = Security(DANE, BY_DANE, "DANE of mx1.example.com")
BY_MTA_STS = Security(VERIFIED, BY_STS, "MTA-STS of example.com")
TESTING = Security(VERIFIED, BY_STS, "MTA-STS of example.com", testing=True)
LATER = Deferred(Reply(451, "4.4.3", "TLSA of mx1.example.com: SERVFAIL"), Scope.HOST)


def rule(**fields: Any) -> DestinationSettings:
    return DestinationSettings.model_validate({"domains": ("example.com",), **fields})


@pytest.mark.parametrize(
    ("fields", "asked", "is_found"),
    [
        ({"domains": ("example.com",)}, ("example.com", "mx1.example.net", "192.0.2.1"), True),
        ({"domains": ("example.com",)}, ("a.example.com", "mx1.example.net", "192.0.2.1"), False),
        ({"domains": ("*.example.com",)}, ("a.b.example.com", "mx1.example.net", "192.0.2.1"), True),
        ({"domains": ("example.com",)}, ("", "example.com", "192.0.2.1"), False),
        ({"domains": (), "hosts": ("*.example.net",)}, ("example.com", "mx1.example.net", "192.0.2.1"), True),
        ({"domains": (), "hosts": ("mx1.example.net",)}, ("", "mx1.example.net", "192.0.2.1"), True),
        ({"domains": (), "hosts": ("192.0.2.1",)}, ("example.org", "mx1.example.net", "192.0.2.1"), True),
        ({"domains": (), "hosts": ("2001:DB8::1",)}, ("", "2001:db8::1", "2001:db8::1"), True),
        ({"domains": (), "hosts": ("192.0.2.1",)}, ("example.org", "mx1.example.net", "192.0.2.2"), False),
    ],
)
def test_whom_a_destination_is_for(fields: dict[str, Any], asked: tuple[str, str, str], is_found: bool) -> None:
    found = TlsRules([rule(level="required", **fields)]).find(*asked)
    assert (found is not None) == is_found


def test_the_first_that_matches_wins() -> None:
    rules = TlsRules([rule(domains=("*.example.com",), level="none"), rule(domains=("*.com",), level="required")])
    first, second = rules.find("a.example.com", "mx", "192.0.2.1"), rules.find("example.com", "mx", "192.0.2.1")
    assert first is not None
    assert second is not None
    assert (first.level, first.reason) == (NONE, "tls_out.destinations[0]")
    assert (second.level, second.reason) == (REQUIRED, "tls_out.destinations[1]")
    assert rules.find("example.org", "mx", "192.0.2.1") is None


PLAIN = Security(NONE, "rule", "tls_out.destinations[0]")
PINNED = Security(FINGERPRINT, "rule", "tls_out.destinations[0]", fingerprints=("00",))


@pytest.mark.parametrize(
    ("configured", "found", "asked", "level", "source"),
    [
        (None, None, "", None, None),
        (PLAIN, BY_TLSA, "", NONE, "rule"),
        (PINNED, LATER, "", FINGERPRINT, "rule"),
        (None, BY_TLSA, "", DANE, BY_DANE),
        (None, TESTING, "", VERIFIED, BY_STS),
        (PLAIN, None, "required", REQUIRED, BY_POLICY),
        (None, None, "required", None, None),
        (None, TESTING, "required", VERIFIED, BY_STS),
        (None, BY_TLSA, "required", DANE, BY_DANE),
        (None, BY_TLSA, "requiretls", DANE, BY_REQUIRETLS),
        (None, BY_MTA_STS, "requiretls", VERIFIED, BY_REQUIRETLS),
        (PINNED, None, "requiretls", FINGERPRINT, BY_REQUIRETLS),
        (None, BY_TLSA, "optional", UNSAID, BY_DEFAULT),
        (None, LATER, "optional", UNSAID, BY_DEFAULT),
        (PINNED, BY_TLSA, "optional", FINGERPRINT, "rule"),
    ],
)
def test_who_decides(
    configured: Security | None, found: Found, asked: str, level: str | None, source: str | None
) -> None:
    decided = decide(configured, found, asked, host="mx1.example.com", is_named=False)
    assert not isinstance(decided, Deferred | Failed)
    assert (None if decided is None else decided.level) == level
    assert (None if decided is None else decided.source) == source


@pytest.mark.parametrize("asked", ["", "required", "requiretls"])
def test_what_cannot_be_known_now_is_a_deferral(asked: str) -> None:
    assert decide(None, LATER, asked, host="mx1.example.com", is_named=False) is LATER


@pytest.mark.parametrize("configured", [None, PLAIN, Security(REQUIRED, "rule", "r"), TESTING])
def test_requiretls_goes_to_nobody_who_is_not_verified(configured: Security | None) -> None:
    decided = decide(configured, None, "requiretls", host="mx1.example.com", is_named=configured is not None)
    assert isinstance(decided, Failed)
    assert decided.reply.enhanced == "5.7.30"
    assert "mx1.example.com" in decided.reply.text


def test_requiretls_goes_to_a_host_that_the_route_names() -> None:
    decided = decide(None, None, "requiretls", host="mail.internal", is_named=True)
    assert isinstance(decided, Security)
    assert (decided.level, decided.names, decided.source) == (VERIFIED, ("mail.internal",), BY_REQUIRETLS)


@pytest.mark.parametrize("proves", [True, False])
async def test_requiretls_goes_to_a_host_that_dnssec_proves(*, proves: bool) -> None:
    """RFC 8689 4.2.1: an MX record that nobody forged is as good as a policy that names the host."""

    async def proved() -> bool:
        return proves

    route = await World().plan("mx:example.com?tls=requiretls", proves=proved)
    if proves:
        assert [(one.security.level, one.security.names) for one in route.targets] == [
            (VERIFIED, ("mx1.example.com",)),
            (VERIFIED, ("mx2.example.com",)),
        ]
        assert route.targets[0].security.reason == "REQUIRETLS, to a host that DNSSEC proves"
        counted = await World().plan("mx:example.com?tls=requiretls", proves=proved, observe=_unheard)
        assert [one.security.domain for one in counted.targets] == ["example.com", "example.com"]
    else:
        assert isinstance(route, Failed)
        assert "nothing verifies whose server it is" in route.reply.text
    plain = await World().plan("mx:example.com", proves=proved)
    assert [target.security for target in plain.targets] == [None, None]


DUTY = Security(DANE, "rule", "tls_out.destinations[0]")


@pytest.mark.parametrize("asked", ["", "required", "requiretls", "optional"])
def test_dane_as_a_duty(asked: str) -> None:
    """RFC 7672 6: what the host's records say, or mail waits; no wish of the sender changes that."""
    met = decide(DUTY, BY_TLSA, asked, host="mx1.example.com", is_named=False)
    assert isinstance(met, Security)
    assert met.level == DANE
    assert "DANE of mx1.example.com, which tls_out.destinations[0] asks for" in met.reason
    unusable = Security(REQUIRED, BY_DANE, "TLSA records, of which none can be acted upon")
    for found in (None, BY_MTA_STS, TESTING, unusable):
        lacking = decide(DUTY, found, asked, host="mx1.example.com", is_named=True, is_proven=True)
        assert isinstance(lacking, Deferred)
        assert lacking.reply.enhanced == "4.7.5"
        assert "mx1.example.com has" in lacking.reply.text
    assert decide(DUTY, LATER, asked, host="mx1.example.com", is_named=False) is LATER


async def test_who_lacks_the_dane_that_is_a_duty_is_left_out_and_reported() -> None:
    told: list[TlsOutcome] = []
    duty = rule(level="dane")
    route = await World(mx1=BY_TLSA).plan("mx:example.com", duty, observe=told.append)
    assert [target.host for target in route.targets] == ["mx1.example.com"]
    assert [(one.domain, one.mx_host, one.policy_type, one.result) for one in told] == [
        ("example.com", "mx2.example.com", "tlsa", "dane-required")
    ]
    lack = "tls_out.destinations[0] asks for DANE, and mx2.example.com has no TLSA record that DNSSEC proves"
    assert told[0].words == lack
    told.clear()
    assert await World(mx1=LATER, mx2=LATER).plan("mx:example.com", duty, observe=told.append) == LATER
    assert told == []


def test_requiretls_says_why_a_policy_does_not_do() -> None:
    decided = decide(None, TESTING, "requiretls", host="mx1.example.com", is_named=False)
    assert isinstance(decided, Failed)
    assert decided.reply.text.endswith("is only being tried out")


def _unheard(_: TlsOutcome) -> None:
    """Somebody counts."""


class World:
    """Two hosts of one domain, and what is said about them."""

    def __init__(self, **said: Found) -> None:
        self.said = said
        self.asked: list[tuple[str, str, int, bool]] = []

    async def lookup(self, name: str, kind: str) -> Answer:
        if kind == "MX":
            records = (MxRecord(10, "mx1.example.com"), MxRecord(20, "mx2.example.com"))
            return Answer(DnsStatus.FOUND, records, 300, authentic=True)
        if kind == "A":
            return Answer(DnsStatus.FOUND, ("192.0.2.1" if "1" in name else "192.0.2.2",), 300)
        return Answer(DnsStatus.NO_DATA, (), 300)

    async def find(self, domain: str, host: str, port: int, *, authentic: bool) -> Found:
        self.asked.append((domain, host, port, authentic))
        return self.said.get(host.partition(".")[0])

    async def plan(
        self,
        lane: str,
        *rules: DestinationSettings,
        finders: tuple[Find, ...] | None = None,
        observe: TlsObserver | None = None,
        proves: Validates | None = None,
    ) -> Any:
        router = Router(
            compile_rules((RouteSettings(next_hops=("mx",)),), ()),
            self.lookup,
            own_names=(),
            own_addresses=(),
            shuffle=lambda _: None,
            securing=Securing(
                TlsRules(rules), (self.find,) if finders is None else finders, observe=observe, proves=proves
            ),
            clock=ManualClock(),
        )
        return await router.plan(lane)


async def test_targets_carry_what_was_decided() -> None:
    world = World(mx1=BY_TLSA, mx2=BY_MTA_STS)
    route = await world.plan("mx:example.com")
    assert isinstance(route, Route)
    assert [target.security for target in route.targets] == [BY_TLSA, BY_MTA_STS]
    assert world.asked == [("example.com", "mx1.example.com", 25, True), ("example.com", "mx2.example.com", 25, True)]
    ruled = await world.plan("mx:example.com", rule(level="required"))
    assert [target.security.level for target in ruled.targets] == [REQUIRED, REQUIRED]
    waived = await world.plan("mx:example.com?tls=optional")
    waiving = Security(UNSAID, BY_DEFAULT, "TLS-Required: No waives what the destination asks for")
    assert [target.security for target in waived.targets] == [waiving, waiving]
    named = await world.plan("smtp://mx1.example.com:25")
    assert [target.security for target in named.targets] == [BY_TLSA]


async def test_who_gets_reports_is_said_of_targets_without_a_demand() -> None:
    world = World(mx1=BY_TLSA)
    route = await world.plan("mx:example.com", observe=_unheard)
    unsaid = Security(UNSAID, BY_DEFAULT, "", domain="example.com")
    assert [target.security for target in route.targets] == [BY_TLSA, unsaid]
    alone = await world.plan("mx:example.com", finders=(), observe=_unheard)
    assert [target.security for target in alone.targets] == [unsaid, unsaid]
    named = await world.plan("smtp://mx2.example.com:25", observe=_unheard)
    assert [target.security for target in named.targets] == [None]  # a host of ours has no reports


async def test_a_host_that_may_not_be_used_is_left_out() -> None:
    route = await World(mx1=LATER, mx2=BY_TLSA).plan("mx:example.com")
    assert isinstance(route, Route)
    assert [target.host for target in route.targets] == ["mx2.example.com"]
    assert "mx1.example.com left out: TLSA of mx1.example.com: SERVFAIL" in route.reason
    assert await World(mx1=LATER, mx2=LATER).plan("mx:example.com") == LATER


async def test_requiretls_fails_at_once_where_nobody_can_be_verified() -> None:
    failed = await World().plan("mx:example.com?tls=requiretls", finders=())
    assert isinstance(failed, Failed)
    assert failed.reply.enhanced == "5.7.30"
    some = await World(mx2=BY_TLSA).plan("mx:example.com?tls=requiretls")
    assert [target.host for target in some.targets] == ["mx2.example.com"]
    assert some.targets[0].security.source == BY_REQUIRETLS


async def test_without_rules_nothing_is_changed() -> None:
    route = await World().plan("mx:example.com", finders=())
    assert [target.security for target in route.targets] == [None, None]
