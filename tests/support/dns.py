"""DNS for tests without a network: answers from a mapping, as the real look-up gives them.

    FakeLookup({("example.com", "MX"): ["10 mx1.example.com", "20 mx2.example.com"],
                ("mx1.example.com", "A"): ["192.0.2.1"]},
               failing=["mx2.example.com"], silent=["slow.example.com"])

A name with records of any type exists (NO_DATA for other types); all other names are NXDOMAIN. "." as the
exchange is the null MX, as the target of an SRV record "not available". A name in `failing` or `silent`, or a pair of
name and type, is SERVFAIL or times out.
"""

from collections.abc import Iterable, Mapping

from postroad.model.dns import Answer, DnsStatus, MxRecord, SrvRecord, TlsaRecord

Question = tuple[str, str]


class FakeLookup:
    """Implements `postroad.model.dns.Lookup`; `records`, `failing` and `silent` may be changed while it is used."""

    def __init__(
        self,
        records: Mapping[Question, Iterable[str]] | None = None,
        *,
        failing: Iterable[str | Question] = (),
        silent: Iterable[str | Question] = (),
        authentic: Iterable[str] = (),
        ttl: int = 300,
    ) -> None:
        self.records = {(name.lower(), kind): list(values) for (name, kind), values in (records or {}).items()}
        self.failing = set(failing)
        self.silent = set(silent)
        self.authentic = set(authentic)
        self.ttl = ttl
        self.asked: list[Question] = []

    async def __call__(self, name: str, kind: str) -> Answer:
        """The answer, at once."""
        name = name.lower().removesuffix(".")
        self.asked.append((name, kind))
        if {name, (name, kind)} & self.silent:
            return Answer(DnsStatus.TIMED_OUT)
        if {name, (name, kind)} & self.failing:
            return Answer(DnsStatus.FAILED)
        return self._answer(name, kind)

    def cached(self, name: str, kind: str) -> Answer | None:
        """Nothing is kept."""
        return None

    def _answer(self, name: str, kind: str) -> Answer:
        authentic = name in self.authentic
        canonical = name
        for _ in range(8):
            alias = self.records.get((canonical, "CNAME"))
            if alias is None or kind == "CNAME":
                break
            canonical = alias[0].lower().removesuffix(".")
        values = self.records.get((canonical, kind))
        if values:
            records = tuple(_record(value, kind) for value in values)
            return Answer(DnsStatus.FOUND, records, self.ttl, authentic, canonical)
        exists = any(owner == canonical for owner, _ in self.records)
        status = DnsStatus.NO_DATA if exists else DnsStatus.NO_NAME
        return Answer(status, (), self.ttl, authentic, canonical)


def _record(value: str, kind: str) -> str | MxRecord | SrvRecord | TlsaRecord:
    if kind == "TLSA":
        usage, selector, matching, data = value.split()
        return TlsaRecord(int(usage), int(selector), int(matching), bytes.fromhex(data))
    if kind == "SRV":
        priority, weight, port, target = value.split()
        return SrvRecord(int(priority), int(weight), int(port), target.lower().removesuffix("."))
    if kind != "MX":
        return value
    preference, exchange = value.split()
    return MxRecord(int(preference), exchange.lower().removesuffix("."))
