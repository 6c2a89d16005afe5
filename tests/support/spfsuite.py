"""The test suites of SPF that Debian's golang-blitiri-go-spf-dev carries: openspf's, and pyspf's own cases.

Read where the package puts them, so nothing of theirs is ours to keep. Records of type SPF stand for TXT unless the
name says what its TXT records are, as the suites' rules have it; names without a known record may time out.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml  # type: ignore[import-untyped]

from postroad.model.dns import Answer, DnsStatus, MxRecord

FOLDER = Path("/usr/share/gocode/src/blitiri.com.ar/go/spf/testdata")
ALIASES = 10


class Case(NamedTuple):
    """One case: the question, and the results that are right."""

    suite: str
    name: str
    helo: str
    ip: str
    sender: str
    results: tuple[str, ...]
    explanation: str | None
    zone: "SuiteZone"

    @property
    def domain(self) -> str:
        """The domain that is checked: of the sender, or the HELO name."""
        return self.sender.rpartition("@")[2]


class SuiteZone:
    """The DNS of some cases; see `postroad.model.dns.Lookup`."""

    def __init__(self, data: Mapping[str, list[Any]]) -> None:
        self._names: dict[str, dict[str, list[Any]]] = {}
        self._slow: set[str] = set()
        for name, rows in data.items():
            kinds = self._names.setdefault(name.lower().removesuffix("."), {})
            for row in rows:
                if row == "TIMEOUT" or "TIMEOUT" in row:
                    self._slow.add(name.lower().removesuffix("."))
                    continue
                for kind, value in row.items():
                    kinds.setdefault(kind, []).append(value)
            if "TXT" not in kinds and "SPF" in kinds:
                kinds["TXT"] = kinds["SPF"]
            kinds["TXT"] = [value for value in kinds.get("TXT", ()) if value != "NONE"]

    async def __call__(self, name: str, kind: str) -> Answer:
        """The answer, along aliases."""
        for _ in range(ALIASES):
            name = name.lower().removesuffix(".")
            kinds = self._names.get(name)
            if kinds is None:
                return Answer(DnsStatus.NO_NAME)
            found = kinds.get(kind)
            if found:
                return Answer(DnsStatus.FOUND, tuple(_record(kind, value) for value in found), 60)
            if name in self._slow:
                return Answer(DnsStatus.TIMED_OUT)
            if "CNAME" not in kinds:
                return Answer(DnsStatus.NO_DATA)
            name = kinds["CNAME"][0]
        return Answer(DnsStatus.FAILED)


def cases(suite: str) -> Iterator[Case]:
    """All of one file."""
    for part in yaml.safe_load_all((FOLDER / f"{suite}.yml").read_text()):
        zone = SuiteZone(part["zonedata"])
        for name, said in part["tests"].items():
            helo = str(said.get("helo", "helo.example"))
            results = said["result"] if isinstance(said["result"], list) else [said["result"]]
            told = said.get("explanation")
            yield Case(
                suite,
                str(name),
                helo,
                str(said["host"]),
                said["mailfrom"] or f"postmaster@{helo}",
                tuple(results),
                None if told is None else str(told),
                zone,
            )


def _record(kind: str, value: Any) -> str | MxRecord:
    if kind == "MX":
        return MxRecord(int(value[0]), str(value[1]).lower().removesuffix("."))
    if kind == "TXT" and isinstance(value, list):
        return "".join(value)
    return str(value)
