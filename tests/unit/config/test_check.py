"""Rules across options, beyond what tests/bad_configs shows: the warnings, and what is no mistake."""

import pytest

from postroad.config.check import check
from postroad.config.problem import path_text
from postroad.config.schema import Config


def _config(**sections: object) -> Config:
    base: dict[str, object] = {"hostname": "relay.example.com", "listeners": {"mx": {"bind": ["127.0.0.1:2525"]}}}
    return Config.model_validate(base | sections)


def _warnings(**sections: object) -> list[str]:
    found = check(_config(**sections))
    assert found.problems == []
    return [f"{path_text(problem.path)}: {problem.text}" for problem in found.warnings]


def test_the_defaults_raise_no_doubt() -> None:
    assert _warnings() == []


def test_routes_after_a_catch_all_are_never_reached() -> None:
    routes = [
        {"recipients": ["example.com"], "next_hops": ["mx"]},
        {"recipients": ["example.org", "*"], "next_hops": ["mx"]},
        {"recipients": ["example.net"], "next_hops": ["mx"]},
        {"next_hops": ["mx"]},
    ]
    assert _warnings(routes=routes) == [
        'routes[2]: is never reached: routes[1] takes all mail before it (recipients "*")',
        'routes[3]: is never reached: routes[1] takes all mail before it (recipients "*")',
    ]


@pytest.mark.parametrize(
    "condition",
    [
        {"senders": ["<>"]},
        {"listeners": ["mx"]},
        {"recipients": ["*.example.com"]},
        {"logins": ["*"]},
        {"tags": ["a"]},
        {"larger_than": 1},
        {"smaller_than": "1MiB"},
    ],
)
def test_a_route_with_a_condition_is_no_catch_all(condition: dict[str, object]) -> None:
    assert _warnings(routes=[{"next_hops": ["mx"], **condition}]) == [
        'routes: no route takes all mail: what matches none waits until it expires; end with recipients = ["*"]'
    ]
    assert _warnings(routes=[{"next_hops": ["mx"], **condition}, {"next_hops": ["mx"]}]) == []


def test_early_expiry_is_doubtful() -> None:
    (warning,) = _warnings(queue={"expire_after": "1d"})
    assert warning.startswith('queue.expire_after: "1d": RFC 5321 4.5.4.1 asks for at least 4 to 5 days')


def test_a_floor_below_one_message_is_doubtful() -> None:
    (warning,) = _warnings(spool={"free_space": "10MiB"})
    assert warning == 'spool.free_space: "10MiB": one message (limits.message_size is "50MiB") could fill the disk'


def test_a_bound_without_effect_is_doubtful() -> None:
    (warning,) = _warnings(limits={"sessions": 10})
    assert warning == "limits.sessions_per_ip: 50: has no effect: limits.sessions is 10"


def test_a_very_large_network_is_doubtful() -> None:
    (warning,) = _warnings(access={"relay_networks": ["10.0.0.0/8", "0.0.0.0/1"]})
    assert warning == 'access.relay_networks[1]: "0.0.0.0/1": a very large part of the Internet may relay to anywhere'


def test_a_name_without_a_domain_is_doubtful_only_when_mail_leaves() -> None:
    (warning,) = _warnings(hostname="relay")
    assert warning == 'hostname: "relay": has no domain; many servers refuse mail from a relay with such a name'
    assert _warnings(hostname="relay", routes=[{"next_hops": ["capture:"]}]) == []


@pytest.mark.parametrize(
    "database",
    [
        "postgresql://relay:geheim@db.internal",
        "postgresql://relay:ge/heim@db.internal/accounts",
        "postgres://relay:geheim@db.internal/accounts",
        "postgresql://relay@db.internal/accounts?sslmode=require&password=geheim",
    ],
)
def test_a_password_in_the_address_of_a_database_is_refused_without_being_told(database: str) -> None:
    found = check(_config(aliases=[{"sql": {"database": database, "query": "SELECT 1"}}]))
    (problem,) = found.problems
    assert path_text(problem.path) == "aliases[0].sql.database"
    assert "heim" not in problem.text


def test_names_of_domains_that_strangers_cannot_write_to() -> None:
    domains = ["example.com", "*.example.net", "a.b.example.org", "elsewhere.example"]
    relayed = {"relay_domains": ["example.com", "*.example.net", "*.example.org"]}
    assert _warnings(access=relayed, recipients=[{"domains": domains, "addresses": ["a@example.com"]}]) == [
        'recipients[0].domains[3]: "elsewhere.example": access.relay_domains has it not, strangers cannot write there'
    ]
