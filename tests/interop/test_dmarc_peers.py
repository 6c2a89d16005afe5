"""DMARC as libopendmarc and authheaders see it: thousands of made-up records, authors and identifiers.

Both tell organisations by the list of public suffixes (RFC 7489), as `public_suffixes = true` does here. Every
disagreement is one that is explained in docs/internals/mailauth.md, and is counted.
"""

import asyncio
import json
import random
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import publicsuffixlist
import pytest

from postroad.mailauth.dmarc import Dmarc, Identifier, evaluate
from postroad.policies.dmarc import organization_of
from tests.support.dns import FakeLookup

CASES = 4000
NAMES = [
    "a.com",
    "sub.a.com",
    "x.y.a.com",
    "b.co.uk",
    "mail.b.co.uk",
    "c.github.io",
    "d.github.io",
    "e.org",
    "a.com.au",
]
STRICT = re.compile("(a(?:dkim|spf))=[sS]")
NO_STRICTNESS = "libopendmarc takes strict alignment for relaxed"
NO_PRIVATE_SUFFIX = "libopendmarc knows no suffixes of private owners"
SUB_POLICY = "authheaders takes sp= for the domain that has the record"
DISAGREEMENTS = {NO_STRICTNESS: 31, NO_PRIVATE_SUFFIX: 41, SUB_POLICY: 611}


class Case(NamedTuple):
    """An author, the records there are, where the one in force is, and domains with what SPF and DKIM found."""

    author: str
    organization: str
    zone: dict[str, str]
    where: str
    record: str
    spf: list[tuple[str, str]]
    dkim: list[tuple[str, str]]


class Opinion(NamedTuple):
    """What is enforced, and whether DKIM and SPF are aligned; what came of it and which policy is in force."""

    enforced: str
    dkim: bool
    spf: bool
    result: str
    policy: str


def _record(dice: random.Random) -> str:
    choices = {
        "sp": ["none", "quarantine", "reject", "REJECT"],
        "adkim": ["r", "s", "R", "S"],
        "aspf": ["r", "s"],
        "pct": ["100"],
        "rua": ["mailto:r@a.com", "mailto:r@a.com!10m,mailto:s@b.co.uk"],
        "fo": ["0", "1:d"],
        "future": ["x"],
    }
    tags = [f"p={dice.choice(['none', 'quarantine', 'reject', 'Reject', 'reject'])}"]
    tags += [f"{name}={dice.choice(values)}" for name, values in choices.items() if dice.random() < 0.35]
    glue = dice.choice(["; ", ";", " ; "])
    return "v=DMARC1" + glue + glue.join(tags) + dice.choice(["", ";", "; "])


def _case(dice: random.Random) -> Case:
    author = dice.choice(NAMES)
    organization = organization_of(author)
    names = [author, organization, f"z.{organization}", *NAMES]
    zone = {f"_dmarc.{name}": _record(dice) for name in dict.fromkeys((author, organization)) if dice.random() < 0.7}
    where = next((name for name in (author, organization) if f"_dmarc.{name}" in zone), "")
    spf = [(dice.choice(names), dice.choice(["pass", "pass", "fail", "softfail"]))]
    dkim = [(dice.choice(names), dice.choice(["pass", "pass", "fail"])) for _ in range(dice.randint(0, 1))]
    return Case(author, organization, zone, where, zone.get(f"_dmarc.{where}", ""), spf, dkim)


def _opinion(case: Case, *, is_strict: bool = True) -> Opinion:
    zone = {(name, "TXT"): [text if is_strict else STRICT.sub(r"\1=r", text)] for name, text in case.zone.items()}
    identifiers = [Identifier("spf", result, name) for name, result in case.spf]
    identifiers += [Identifier("dkim", result, name) for name, result in case.dkim]
    found: Dmarc = asyncio.run(evaluate(FakeLookup(zone), [case.author], identifiers, organization=organization_of))
    methods = {one.method for one in found.aligned}
    enforced = {"fail": found.policy, "none": "absent"}.get(found.result, found.result)
    return Opinion(enforced, "dkim" in methods, "spf" in methods, found.result, found.policy)


def _reasons(case: Case, ours: Opinion, theirs: Opinion) -> Iterator[str]:
    """The rows of the table that the disagreements of a case belong to, "" for none."""
    if ours[:3] != theirs[:3]:
        relaxed = _opinion(case, is_strict=False)
        others = [name for name, _ in (*case.spf, *case.dkim) if name.endswith("github.io")]
        if relaxed[:3] == theirs[:3]:
            yield NO_STRICTNESS
        elif case.author.endswith("github.io") and any(organization_of(name) != case.organization for name in others):
            yield NO_PRIVATE_SUFFIX
        else:
            yield ""
    if ours[3:] != theirs[3:]:
        has_own = case.where == case.author and "sp=" in case.record
        yield SUB_POLICY if has_own and ours.result == theirs.result else ""


@pytest.fixture
def others() -> Iterator[subprocess.Popen[str]]:
    side = Path(__file__).parents[1] / "support" / "dmarc_side.py"
    suffixes = Path(publicsuffixlist.__file__).with_name("public_suffix_list.dat")
    with subprocess.Popen(
        ["/usr/bin/python3", "-P", str(side), str(suffixes)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0


def test_thousands_of_cases(others: subprocess.Popen[str]) -> None:
    assert others.stdin is not None
    assert others.stdout is not None
    dice, found = random.Random(7), Counter[str]()
    for _ in range(CASES):
        case = _case(dice)
        others.stdin.write(json.dumps(case._asdict()) + "\n")
        others.stdin.flush()
        ours, theirs = _opinion(case), Opinion(*json.loads(others.stdout.readline()))
        for reason in _reasons(case, ours, theirs):
            assert reason, f"{case}: we say {ours}, they say {theirs}"
            found[reason] += 1
    assert dict(found) == DISAGREEMENTS
