"""DNS as a table in memory, for checks that take a look-up as a parameter; it notes what was asked."""

from collections.abc import Collection, Mapping, Sequence

from postroad.model.dns import Answer, DnsStatus, MxRecord


class Zone:
    """Names with their records, MX as "10 host"; questions for `broken` names fail."""

    def __init__(self, names: Mapping[str, Mapping[str, Sequence[str]]], broken: Collection[str] = ()) -> None:
        self._names = {name.lower(): kinds for name, kinds in names.items()}
        self._broken = broken
        self.asked: list[tuple[str, str]] = []

    async def __call__(self, name: str, kind: str) -> Answer:
        """See `postroad.model.dns.Lookup`."""
        name = name.lower().removesuffix(".")
        self.asked.append((name, kind))
        if name in self._broken:
            return Answer(DnsStatus.FAILED)
        kinds = self._names.get(name)
        if kinds is None:
            return Answer(DnsStatus.NO_NAME)
        records = kinds.get(kind, ())
        if not records:
            return Answer(DnsStatus.NO_DATA)
        if kind == "MX":
            pairs = [record.split() for record in records]
            return Answer(DnsStatus.FOUND, tuple(MxRecord(int(first), host) for first, host in pairs), 60)
        return Answer(DnsStatus.FOUND, tuple(records), 60)
