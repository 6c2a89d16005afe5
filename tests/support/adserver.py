"""Answers that only Active Directory gives, from a script: codes in refused binds, and its rule that follows groups.

It reads LDAP by an own little reader of BER, so that what our client sends is looked at by somebody else.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Self

DIAGNOSTIC = "80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data {}, v4f7c"


def pack(tag: int, *parts: bytes) -> bytes:
    """One element, whose length is always written in four octets, as Active Directory does."""
    content = b"".join(parts)
    return bytes((tag, 0x84)) + len(content).to_bytes(4, "big") + content


def elements(octets: bytes) -> list[tuple[int, bytes]]:
    """Tag and content of each element in a row."""
    found = []
    while octets:
        tag, size, octets = octets[0], octets[1], octets[2:]
        if size & 0x80:
            count = size & 0x7F
            size, octets = int.from_bytes(octets[:count], "big"), octets[count:]
        found.append((tag, octets[:size]))
        octets = octets[size:]
    return found


class ActiveDirectory:
    """`accounts`: name to password, or to the code with which it is refused; `entries`: who is found by which filter.

    A filter is the nested tuple that `read_filter` makes; an entry is its name and attributes.
    """

    def __init__(
        self, accounts: Mapping[str, str], entries: Mapping[object, list[tuple[str, dict[str, list[str]]]]]
    ) -> None:
        self.accounts = accounts
        self.entries = entries
        self.filters: list[object] = []
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"ldap://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.read(2):
                size = head[1]
                if size & 0x80:
                    size = int.from_bytes(await reader.readexactly(size & 0x7F), "big")
                (_, number), (kind, body), *_ = elements(await reader.readexactly(size))
                for tag, content in self._answers(kind, elements(body) if body else []):
                    writer.write(pack(0x30, b"\x02\x01" + number[-1:], pack(tag, content)))
                await writer.drain()
        finally:
            writer.close()

    def _answers(self, kind: int, parts: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        if kind == 0x60:
            name, password = parts[1][1].decode(), parts[2][1].decode()
            known = self.accounts.get(name, "525")
            if known == password:
                return [(0x61, self._result(0, ""))]
            code = known if len(known) == 3 else "52e"
            return [(0x61, self._result(49, DIAGNOSTIC.format(code) + "\0"))]
        if kind == 0x63:
            wanted = read_filter(*parts[6])
            self.filters.append(wanted)
            found = [(0x64, self._entry(*entry)) for entry in self.entries.get(wanted, [])]
            return [*found, (0x73, pack(0x04, b"ldap://DomainDnsZones.example.com")), (0x65, self._result(0, ""))]
        return []

    def _result(self, code: int, text: str) -> bytes:
        return pack(0x0A, bytes((code,))) + pack(0x04) + pack(0x04, text.encode())

    def _entry(self, dn: str, attributes: dict[str, list[str]]) -> bytes:
        values = [
            pack(0x30, pack(0x04, name.encode()), pack(0x31, *(pack(0x04, value.encode()) for value in some)))
            for name, some in attributes.items()
        ]
        return pack(0x04, dn.encode()) + pack(0x30, *values)


def read_filter(tag: int, content: bytes) -> Any:
    """A filter as nested tuples: ("&", ...), ("=", name, value), (":=", rule, name, value)."""
    match tag:
        case 0xA0 | 0xA1:
            return ("&" if tag == 0xA0 else "|", *(read_filter(*part) for part in elements(content)))
        case 0xA3:
            (_, name), (_, value) = elements(content)
            return ("=", name.decode(), value.decode())
        case 0xA9:
            parts = dict(elements(content))
            return (":=", parts[0x81].decode(), parts[0x82].decode(), parts[0x83].decode())
    raise AssertionError(f"no filter of ours: {tag:#x}")
