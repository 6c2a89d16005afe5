"""What this host knows about names without asking DNS: /etc/resolv.conf and /etc/hosts.

The first names the servers to ask when none are configured. Names in the second are answered from it for
A and AAAA, before DNS and instead of it, as the system's own resolver does; "localhost" and names below it
never reach DNS (RFC 6761 6.3). Both files are optional, and lines that cannot be read are passed over.
"""

from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType
from typing import Final

from postroad.model.dns import Answer, DnsStatus

RESOLV_CONF: Final = Path("/etc/resolv.conf")
HOSTS: Final = Path("/etc/hosts")
HOSTS_TTL: Final = 60
_LOCALHOST: Final = ("127.0.0.1", "::1")
_LOOK_AGAIN: Final = 5.0  # seconds between two looks at whether /etc/hosts changed
_VERSIONS: Final = MappingProxyType({"A": 4, "AAAA": 6})


def system_nameservers(path: Path = RESOLV_CONF) -> list[tuple[str, int]]:
    """Address and port of the system's DNS servers, in order; the loopback when the file names none."""
    found = []
    for line in _lines(path):
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver" and _version(words[1]):
            found.append((words[1], 53))
    return found or [("127.0.0.1", 53)]


class HostsFile:
    """The names of /etc/hosts, read again when the file changes."""

    def __init__(self, path: Path = HOSTS) -> None:
        """Read `path` at the first question."""
        self._path = path
        self._names: dict[str, list[str]] = {}
        self._stamp: tuple[int, int] = (0, 0)
        self._look_at = 0.0

    def answer(self, name: str, kind: str, now: float) -> Answer | None:
        """The answer for `name` (lower-case), None when DNS is to be asked; `now` in monotonic seconds."""
        if now >= self._look_at:
            self._look_at = now + _LOOK_AGAIN
            self._read_if_changed()
        is_local = name == "localhost" or name.endswith(".localhost")
        if is_local and kind not in _VERSIONS:
            return Answer(DnsStatus.NO_DATA, (), HOSTS_TTL, authentic=False, canonical=name)
        addresses = _LOCALHOST if is_local else self._names.get(name)
        if addresses is None or kind not in _VERSIONS:
            return None
        records = tuple(address for address in addresses if _version(address) == _VERSIONS[kind])
        status = DnsStatus.FOUND if records else DnsStatus.NO_DATA
        return Answer(status, records, HOSTS_TTL, authentic=False, canonical=name)

    def _read_if_changed(self) -> None:
        try:
            info = self._path.stat()
        except OSError:
            stamp = (0, 0)
        else:
            stamp = (info.st_mtime_ns, info.st_size)
        if stamp != self._stamp:
            self._stamp = stamp
            self._names = _read_hosts(self._path)


def _read_hosts(path: Path) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for line in _lines(path):
        address, *aliases = line.partition("#")[0].split() or [""]
        if _version(address):
            for alias in aliases:
                names.setdefault(alias.lower().removesuffix("."), []).append(str(ip_address(address)))
    return names


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []


def _version(text: str) -> int:
    """4 or 6, 0 for what is no IP address."""
    try:
        return ip_address(text).version
    except ValueError:
        return 0
