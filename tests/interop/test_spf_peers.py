"""SPF as pyspf sees it: thousands of made-up domains, clients and senders; every disagreement is one that is explained.

What is explained stands in docs/internals/mailauth.md.
"""

import asyncio
import json
import random
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from postroad.mailauth.spf import check_host
from tests.support.spfzone import Zone

CASES = 3000
DISAGREEMENTS = {"a client without PTR record": 52, "a domain that includes itself": 29}
NAMES = [f"{name}.example" for name in ("a", "b", "c", "d", "e", "sub.a", "x.y.b")]
IPS = ["192.0.2.1", "192.0.2.77", "198.51.100.9", "10.0.0.1", "2001:db8::1", "2001:db8:1::2"]
MACROS = "%{d} %{l}.a.example %{ir}.%{v}.b.example %{d2} %{o} %{p} %{h} %{l1r-}.c.example %{S}.a.example"
TARGETS = [*MACROS.split(), "gone1.example", "gone2.example", *NAMES]
NETWORKS4 = ["192.0.2.0/24", "192.0.2.1", "198.51.100.0/25", "10.0.0.0/8", "1.2.3", "10.0.0.1/33"]
NETWORKS6 = ["2001:db8::/32", "2001:db8::1", "::/0", "2001:db8::/129", "zz::"]
LENGTHS = ["", "", "", "/24", "/0", "/30", "//64", "/24//32"]
ODD_ONES = "moo a:museum x=y exp=a.example redirect=b.example redirect=%{d} ip4 include a:%{x}.com all:foo a/ ptr/24"
ODD = ODD_ONES.split()
Names = dict[str, dict[str, list[str]]]


def _term(dice: random.Random) -> str:
    qualifier, kind = (
        dice.choice(["", "+", "-", "~", "?"]),
        dice.choice(["a", "a:", "mx", "mx:", "in", "ex", "ip4", "ip6", "ptr", "ptr:", "all", "odd"]),
    )
    match kind:
        case "a" | "mx":
            return qualifier + kind + dice.choice(LENGTHS)
        case "a:" | "mx:":
            return qualifier + kind + dice.choice(TARGETS) + dice.choice(LENGTHS)
        case "in" | "ex" | "ptr:":
            return qualifier + {"in": "include:", "ex": "exists:"}.get(kind, kind) + dice.choice(TARGETS)
        case "ip4" | "ip6":
            return f"{qualifier}{kind}:{dice.choice(NETWORKS4 if kind == 'ip4' else NETWORKS6)}"
        case "odd":
            return dice.choice(ODD) if dice.random() < 0.3 else "a"
    return qualifier + kind


def _zone(dice: random.Random) -> Names:
    zone: Names = {}
    for name in NAMES:
        ends = [" -all", " ~all", "", "", " redirect=c.example"]
        records = ["v=spf1 " + " ".join(_term(dice) for _ in range(dice.randint(0, 5))) + dice.choice(ends)]
        records += ["hello"] * (dice.random() < 0.2) + ["v=spf1 +all"] * (dice.random() < 0.04)
        zone[name] = {"TXT": records} if dice.random() < 0.8 else {}
        if dice.random() < 0.7:
            zone[name]["A"] = dice.sample(IPS[:4], dice.randint(1, 2))
        if dice.random() < 0.5:
            zone[name]["AAAA"] = dice.sample(IPS[4:], 1)
        if dice.random() < 0.5:
            zone[name]["MX"] = [f"10 {dice.choice(NAMES)}"]
    zone["1.2.0.192.in-addr.arpa"] = {"PTR": [dice.choice(NAMES)]}
    zone["77.2.0.192.in-addr.arpa"] = {"PTR": [dice.choice(NAMES), dice.choice(NAMES)]}
    return zone


def _reason(words: str, zone: Names) -> str:
    """The row of the table that a disagreement belongs to, "" for none."""
    texts = [text for kinds in zone.values() for text in kinds.get("TXT", ())]
    if "Void lookup limit" in words and any("ptr" in text or "%{p}" in text for text in texts):
        return "a client without PTR record"
    if "include has trivial recursion" in words and any("include:" in text for text in texts):
        return "a domain that includes itself"
    return ""


@pytest.fixture
def pyspf() -> Iterator[subprocess.Popen[str]]:
    side = Path(__file__).parents[1] / "support" / "pyspf_side.py"
    with subprocess.Popen(
        ["/usr/bin/python3", "-P", str(side)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0


def test_pyspf_says_the_same(pyspf: subprocess.Popen[str]) -> None:
    assert pyspf.stdin is not None
    assert pyspf.stdout is not None
    dice, results, explained = random.Random(20261126), Counter[str](), Counter[str]()  # the same cases each time
    for _ in range(CASES):
        zone, ip, domain, helo = _zone(dice), dice.choice(IPS), dice.choice(NAMES), dice.choice(NAMES)
        sender = f"{dice.choice(['user', 'a', 'x-y', 'first.last', 'gone1'])}@{domain}"
        pyspf.stdin.write(json.dumps({"zone": zone, "ip": ip, "sender": sender, "helo": helo}) + "\n")
        pyspf.stdin.flush()
        theirs, words = json.loads(pyspf.stdout.readline())
        ours = asyncio.run(check_host(Zone(zone), ip, domain, sender, helo=helo, receiver="relay.example"))
        results[ours.result] += 1
        if ours.result != theirs:
            why = _reason(words, zone) if theirs == "permerror" else ""
            assert why, (ours, theirs, words, ip, sender, helo, zone)
            explained[why] += 1
    assert min(results[word] for word in ("pass", "fail", "softfail", "neutral", "none", "permerror")) > 100
    assert explained == DISAGREEMENTS
