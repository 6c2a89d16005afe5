"""Postfix's checks on strangers become policies of ours, or are handed back."""

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.config.postfix.checks import checks_of


def test_lists_and_names() -> None:
    words = (
        "reject_invalid_helo_hostname reject_unknown_sender_domain reject_rbl_client zen.example.org=127.0.0.[2..11] "
        "reject_rhsbl_sender dbl.example.org reject_unknown_reverse_client_hostname permit_dnswl_client list.example "
        "check_policy_service inet:127.0.0.1:10023"
    )
    found = checks_of({"smtpd_recipient_restrictions": words.split()})
    assert found.policies == [
        {"use": "helo", "own": "ignore", "invalid": "reject", "unqualified": "ignore", "unresolvable": "ignore"},
        {"use": "sender_domain", "unknown": "defer", "null_mx": "reject", "private": "ignore"},
        {"use": "ptr", "missing": "defer", "unconfirmed": "ignore", "generic": "ignore"},
        {
            "use": "dnsbl",
            "lists": [
                {"zone": "zen.example.org", "codes": ["127.0.0.2-11"]},
                {"zone": "dbl.example.org", "of": "sender"},
            ],
        },
        {"use": "greylist"},
    ]
    assert found.left == [
        "smtpd_recipient_restrictions: permit_dnswl_client",
        "smtpd_recipient_restrictions: list.example",
        "smtpd_recipient_restrictions: check_policy_service inet:127.0.0.1:10023",
    ]


def test_lists_of_postscreen_have_weights() -> None:
    sites = ["zen.example.org*3", "b.example.org=127.0.0.4*2", "wl.example.org*-4", "c.example=127.0.0.[2;4]"]
    found = checks_of({}, sites, 3)
    assert found.policies == [
        {
            "use": "dnsbl",
            "reject": 3,
            "lists": [
                {"zone": "zen.example.org", "weight": 3},
                {"zone": "b.example.org", "weight": 2, "codes": ["127.0.0.4"]},
                {"zone": "wl.example.org", "weight": -4},
            ],
        }
    ]
    assert found.left == ["postscreen_dnsbl_sites: c.example=127.0.0.[2;4]"]


@pytest.mark.parametrize("words", [["reject_rbl_client"], ["reject_rbl_client", "$zone"], ["check_policy_service"]])
def test_what_is_torn_is_handed_back(words: list[str]) -> None:
    found = checks_of({"smtpd_client_restrictions": words})
    assert found.policies == []
    assert len(found.left) == 1


@given(st.lists(st.sampled_from(["reject_rbl_client", "reject_rhsbl_helo", "check_policy_service", "x"]) | st.text()))
def test_nothing_is_lost(words: list[str]) -> None:
    found = checks_of({"smtpd_client_restrictions": words}, words)
    lists = [one for policy in found.policies for one in cast("list[object]", policy.get("lists", []))]
    assert 2 * (len(found.left) + len(lists)) >= 3 * len(words)  # two words of a restriction are one thing
