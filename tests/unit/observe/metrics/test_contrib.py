"""The dashboard and the alert rules name only metrics and labels that there are, and histograms by their parts."""

import re
from pathlib import Path

import pytest

from postroad.model.dns import DnsStatus
from postroad.observe.metrics.meter import families
from postroad.observe.metrics.queue import AGE_NAMES
from postroad.observe.metrics.series import Family
from tests.meta.source import TOP

CONTRIB = TOP / "contrib"
FILES = [CONTRIB / "grafana" / "postroad.json", CONTRIB / "prometheus" / "postroad.rules.yml"]
NAME = re.compile(r"\b((?:postroad|process)_[a-z_]+)(?:\{([^}]*)\})?")
LABEL = re.compile(r'([a-z_]+)\s*(?:=~|!=|!~|=)\s*\\?"([^"\\]*)')
BY = re.compile(r"\bby \(([^)]*)\)")
OF_PROMETHEUS = {"job", "instance"}


def known() -> dict[str, Family]:
    out: dict[str, Family] = {}
    for family in families():
        ends = ("_bucket", "_sum", "_count") if family.bounds else ("",)
        out |= {family.name + end: family for end in ends}
    return out


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_names_and_labels_exist(file: Path) -> None:
    text = file.read_text()
    metrics = known()
    found = list(NAME.finditer(text))
    assert len(found) > 15
    for match in found:
        assert match[1] in metrics, match[0]
        for label, _ in LABEL.findall(match[2] or ""):
            assert label in OF_PROMETHEUS | set(metrics[match[1]].labels), match[0]
    every = OF_PROMETHEUS | {"le"} | {label for family in metrics.values() for label in family.labels}
    for names in BY.findall(text):
        assert {name.strip() for name in names.split(",")} <= every, names


def test_ages_and_results_in_the_files_are_real() -> None:
    page = "\n".join(file.read_text() for file in FILES)
    ages = {age for match in re.findall(r'age=~\\?"([^"\\]*)', page) for age in match.split("|")}
    results = {one for match in re.findall(r'result=~\\?"([^"\\]*)', page) for one in match.split("|")}
    assert ages
    assert ages <= set(AGE_NAMES)
    assert results == {status.name.lower() for status in DnsStatus if status.is_temporary}
