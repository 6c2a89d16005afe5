"""/etc/resolv.conf and /etc/hosts, with the lines people really have in them."""

import os
from pathlib import Path

from postroad.model.dns import DnsStatus
from postroad.net.dns.system import HostsFile, system_nameservers


def test_nameservers(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text(
        "# made by hand\nsearch example.com\nnameserver 192.0.2.53\nnameserver\t2001:db8::53 # second\n"
        "nameserver fe80::1%eth0\nnameserver nonsense\noptions edns0\nnameserver\n"
    )
    assert system_nameservers(path) == [("192.0.2.53", 53), ("2001:db8::53", 53), ("fe80::1%eth0", 53)]
    assert system_nameservers(tmp_path / "none") == [("127.0.0.1", 53)]


def test_hosts(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text(
        "127.0.0.1 localhost\n192.0.2.7  Mail1.internal mail1 # the old one\n2001:db8:0::7 mail1.internal\n"
        "garbage line\n\n# 192.0.2.9 off.internal\n192.0.2.8 mail1.internal\n"
    )
    hosts = HostsFile(path)
    answer = hosts.answer("mail1.internal", "A", 0.0)
    assert answer is not None
    assert (answer.status, answer.records) == (DnsStatus.FOUND, ("192.0.2.7", "192.0.2.8"))
    answer = hosts.answer("mail1.internal", "AAAA", 0.0)
    assert answer is not None
    assert answer.records == ("2001:db8::7",)
    answer = hosts.answer("mail1", "AAAA", 0.0)
    assert answer is not None
    assert answer.status is DnsStatus.NO_DATA
    assert hosts.answer("mail1.internal", "MX", 0.0) is None
    assert hosts.answer("off.internal", "A", 0.0) is None


def test_localhost_never_reaches_dns(tmp_path: Path) -> None:
    hosts = HostsFile(tmp_path / "none")
    for name in ("localhost", "mail.localhost"):
        for kind, records in (("A", ("127.0.0.1",)), ("AAAA", ("::1",)), ("MX", ())):
            answer = hosts.answer(name, kind, 0.0)
            assert answer is not None
            assert answer.records == records


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    hosts = HostsFile(path)
    assert hosts.answer("new.internal", "A", 0.0) is None
    path.write_text("192.0.2.1 new.internal\n")
    assert hosts.answer("new.internal", "A", 1.0) is None  # looked a moment ago
    answer = hosts.answer("new.internal", "A", 10.0)
    assert answer is not None
    assert answer.records == ("192.0.2.1",)
    path.write_text("192.0.2.2 new.internal\n")
    os.utime(path, ns=(1, 1))
    answer = hosts.answer("new.internal", "A", 20.0)
    assert answer is not None
    assert answer.records == ("192.0.2.2",)
