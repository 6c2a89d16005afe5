"""The official test suite of SPF, openspf's of RFC 7208, with its elder of RFC 4408 and pyspf's own cases.

Every case is right but those of the table, each with its reason. The package's fourth file holds its authors' own
choices, with names of one label, which RFC 7208 4.3 does not have checked.
"""

import asyncio
from collections.abc import Mapping

import pytest

from postroad.mailauth.spf import Spf, check_host, in_turn
from postroad.net.dns.asking import side_by_side
from tests.support.spfsuite import Case, cases

LOWER = "RFC 7208 7.4 writes the digits of an IPv6 address in lower case; names in DNS have none"
OWN = "default= is pyspf's own; RFC 7208 6 has unknown modifiers ignored"
EXPLAINED: Mapping[tuple[str, str], str] = {
    ("rfc7208-tests", "v-macro-ip6"): LOWER,
    ("rfc4408-tests", "v-macro-ip6"): LOWER,
    ("pyspf-tests", "default-modifier"): OWN,
    ("pyspf-tests", "default-modifier-harsh"): OWN,
}


def judge(case: Case) -> Spf:
    """What we say, which is the same whether names are asked about in turn or side by side."""
    found, beside = (
        asyncio.run(
            check_host(
                case.zone, case.ip, case.domain, case.sender, helo=case.helo, receiver="us.example", together=way
            )
        )
        for way in (in_turn, side_by_side)
    )
    assert found == beside
    return found


def is_right(case: Case, found: Spf) -> bool:
    """The result is one that the suite calls right, and so is the explanation of a fail."""
    told = "" if case.explanation == "DEFAULT" else case.explanation
    return found.result in case.results and (told is None or found.result != "fail" or found.explanation == told)


@pytest.mark.parametrize(
    ("suite", "least"),
    [("rfc7208-tests", 200), ("rfc4408-tests", 190), ("pyspf-tests", 15)],
)
def test_every_case_of_the_suite_but_those_explained(suite: str, least: int) -> None:
    whole = list(cases(suite))
    assert len(whole) >= least
    wrong = {
        case.name: f"{case.results} {case.explanation!r}, not {found}"
        for case in whole
        if not is_right(case, found := judge(case))
    }
    explained = {name for where, name in EXPLAINED if where == suite}
    assert set(wrong) == explained, "\n".join(f"{name}: {words}" for name, words in wrong.items())
