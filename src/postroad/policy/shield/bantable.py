"""What is known of addresses and networks that misbehaved, in one piece of memory of a fixed size (*pure*).

The memory may be shared: one process writes, others read at the same time and see each entry as it is or as it was. A
key is a network: sixteen octets (IPv4 addresses as mapped into IPv6) and the length of its prefix. It may lie in one
bucket alone, which is searched by one look for its octets. When a bucket is full the entry that matters least goes,
so the table never grows and never refuses; there is room for half as many again as it is meant for, so at that number
hardly any go.
"""

from collections.abc import Iterator
from hashlib import blake2b
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from mmap import mmap
from struct import Struct as Packing
from typing import Final

from msgspec import Struct

CAPACITY: Final = 1_000_000
MAPPED: Final = 96  # bits in front of an IPv4 address that is mapped into IPv6
FOREVER: Final = (1 << 32) - 1  # an instant that never comes
_KEY: Final = 17
_VALUE: Final = Packing("=fIIHH")  # score, seen, until, times, kind
_WAYS: Final = 64  # entries of a bucket
_KEYS: Final = _WAYS * _KEY
_BUCKET: Final = _KEYS + _WAYS * _VALUE.size
_LENGTHS: Final = 129  # a byte for each length of a prefix; those in use come first, then zeros
_START: Final = 192  # of the buckets
_NOTHING: Final = bytes(_KEY)
_MASKS: Final = tuple((1 << 128) - (1 << 128 - length) for length in range(129))

Memory = bytearray | mmap
Network = IPv4Network | IPv6Network


class Standing(Struct, frozen=True, gc=False):
    """What is known of one network: its `score` as of `seen`; banned before `until`, `times` in a row, for `kind`."""

    score: float
    seen: int
    until: int = 0
    times: int = 0
    kind: int = 0


class BanTable:
    """The table in `memory`, of `octets_for` a capacity, which are zeros at first."""

    def __init__(self, memory: Memory, key: bytes) -> None:
        """`key` is random, the same for all who share the memory: nobody can choose addresses that meet."""
        self._memory = memory
        self._count = (len(memory) - _START) // _BUCKET
        self._key = key

    def get(self, network: bytes) -> Standing | None:
        """What is known of `network`, a key as `key_of` makes it."""
        start = self._bucket(network)
        at = self._find(network, start)
        if at < 0:
            return None
        standing = Standing(*_VALUE.unpack_from(self._memory, _value(start, at)))
        return standing if self._memory[at : at + _KEY] == network else None  # else it was replaced meanwhile

    def put(self, network: bytes, standing: Standing, now: int) -> None:
        """Know this from now on, in seconds since 1970; the entry of its bucket that matters least may go for it."""
        start = self._bucket(network)
        at = self._find(network, start)
        if at < 0:
            at = self._place(start, now)
            self._memory[at : at + _KEY] = _NOTHING
            self._use(network[-1])
        value = (standing.score, standing.seen, standing.until, standing.times, standing.kind)
        _VALUE.pack_into(self._memory, _value(start, at), *value)
        self._memory[at : at + _KEY] = network

    def remove(self, network: bytes) -> None:
        """Know nothing of `network`."""
        at = self._find(network, self._bucket(network))
        if at >= 0:
            self._memory[at : at + _KEY] = _NOTHING

    def clear(self) -> None:
        """Know nothing."""
        for at in range(_START, _START + self._count * _BUCKET, _BUCKET):
            if self._memory[at : at + _KEYS].count(0) != _KEYS:
                self._memory[at : at + _KEYS] = bytes(_KEYS)

    def covering(self, address: bytes) -> Iterator[tuple[bytes, Standing]]:
        """What is known of `address`, sixteen octets, and of the networks that it is in; the smallest network first."""
        number = int.from_bytes(address)
        for length in sorted(self._memory[:_LENGTHS].rstrip(b"\0"), reverse=True):
            key = (number & _MASKS[length]).to_bytes(16) + bytes((length,))
            standing = self.get(key)
            if standing is not None:
                yield key, standing

    def buckets(self) -> range:
        """The names of all buckets; see `entries`."""
        return range(self._count)

    def entries(self, bucket: int) -> list[tuple[bytes, Standing]]:
        """Everything in one bucket: whoever wants all can do something else in between."""
        start = _START + bucket * _BUCKET
        keys = self._memory[start : start + _KEYS]
        if keys.count(0) == _KEYS:
            return []
        found = []
        for place in range(_WAYS):
            key = bytes(keys[place * _KEY : (place + 1) * _KEY])
            if key != _NOTHING:
                value = _VALUE.unpack_from(self._memory, start + _KEYS + place * _VALUE.size)
                found.append((key, Standing(*value)))
        return found

    def _bucket(self, network: bytes) -> int:
        digest = blake2b(network, digest_size=8, key=self._key).digest()
        return _START + int.from_bytes(digest) % self._count * _BUCKET

    def _find(self, network: bytes, start: int) -> int:
        """Where its key is, or -1; the same octets may also lie across two keys."""
        at = self._memory.find(network, start, start + _KEYS)
        while at >= 0 and (at - start) % _KEY:
            at = self._memory.find(network, at + 1, start + _KEYS)
        return at

    def _place(self, start: int, now: int) -> int:
        """Where a new key of a bucket goes."""
        at = self._find(_NOTHING, start)
        if at >= 0:
            return at
        return min(range(start, start + _KEYS, _KEY), key=lambda at: self._matter(start, at, now))

    def _matter(self, start: int, at: int, now: int) -> tuple[bool, int, float]:
        _, seen, until, times, _ = _VALUE.unpack_from(self._memory, _value(start, at))
        return until > now, until if until > now else times, seen

    def _use(self, length: int) -> None:
        """Look for networks with a prefix of this length, too."""
        used = self._memory[:_LENGTHS].rstrip(b"\0")
        if length not in used:
            self._memory[len(used)] = length


def octets_for(capacity: int) -> int:
    """The memory that a table for so many needs."""
    return _START + (capacity * 3 // 2 // _WAYS + 1) * _BUCKET


def _value(start: int, at: int) -> int:
    """Where the value is that belongs to the key at `at`."""
    return start + _KEYS + (at - start) // _KEY * _VALUE.size


def address_of(ip: str) -> bytes | None:
    """The sixteen octets of an address as text; None when it is none."""
    try:
        address = ip_address(ip.partition("%")[0])
    except ValueError:
        return None
    return address.packed if address.version == 6 else b"\0\0\0\0\0\0\0\0\0\0\xff\xff" + address.packed


def key_of(address: bytes, length: int) -> bytes:
    """The key of the network of `address` that has a prefix of `length`, as in IPv6."""
    return (int.from_bytes(address) & _MASKS[length]).to_bytes(16) + bytes((length,))


def key_of_network(network: Network) -> bytes:
    """The key of a network."""
    octets = address_of(str(network.network_address))
    assert octets is not None, "a network has an address"
    return key_of(octets, network.prefixlen + (MAPPED if network.version == 4 else 0))


def network_of(key: bytes) -> Network:
    """The network that a key stands for."""
    address, length = key[:16], key[16]
    if length >= MAPPED and address[:12] == b"\0\0\0\0\0\0\0\0\0\0\xff\xff":
        return ip_network((address[12:], length - MAPPED))
    return ip_network((address, length))
