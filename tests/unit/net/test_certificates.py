"""Certificates in files: what they say, and how those in force follow what lies there."""

import hashlib
import os
import ssl
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes

from postroad.model.errors import ConfigError
from postroad.model.records import CertificateExpiring, CertificateLoaded, CertificateRefused, Record
from postroad.net.clock import SystemClock
from postroad.net.tls.certificates import WARN_EVERY, Certificates, Plan
from postroad.net.tls.keyfiles import KeyFiles, KeyStore
from postroad.net.tls.server import Security
from tests.support.authority import Authority, Issued


def files_of(own: Issued) -> KeyFiles:
    return KeyFiles(own.certificate, own.key)


def plan_of(*pairs: Issued, names: Sequence[str] = (), client_ca: Path | None = None) -> Plan:
    security = Security(client_certificates="off" if client_ca is None else "require")
    return Plan(security, tuple((files_of(own), tuple(names)) for own in pairs), client_ca)


def handshake(server: ssl.SSLContext, trusts: Authority, name: str = "relay.example.com") -> ssl.SSLObject:
    """A client's end after a handshake in memory."""
    context = ssl.create_default_context(cafile=trusts.file)
    context.check_hostname = False
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(back, there, server_hostname=name)
    ours = server.wrap_bio(there, back, server_side=True)
    done: set[ssl.SSLObject] = set()
    for _ in range(8):
        for end in (client, ours):
            try:
                end.do_handshake()
                done.add(end)
            except ssl.SSLWantReadError:
                pass
    assert len(done) == 2
    return client


def shown(certificates: Certificates, trusts: Authority) -> str:
    octets = handshake(certificates.contexts("mx")(), trusts).getpeercert(binary_form=True)
    assert octets is not None
    return hashlib.sha256(octets).hexdigest()


def test_what_a_certificate_says(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own = authority.issue("own", ["Relay.Example.com", "*.example.net"], hash_with=hashes.SHA384())
    pair = KeyStore().read(files_of(own))
    der = ssl.PEM_cert_to_DER_cert(own.certificate.read_text())
    assert pair.facts.names == ("relay.example.com", "*.example.net")
    assert pair.facts.fingerprint == hashlib.sha256(der).hexdigest()
    assert pair.facts.end_point == hashlib.sha384(der).digest()  # RFC 5929 4.1: that of the signature
    assert pair.facts.starts < SystemClock().now() < pair.facts.expires
    bare = KeyStore().read(files_of(authority.issue("bare", common_name="Host.example.org")))
    assert bare.facts.names == ("host.example.org",)


def test_a_pair_shows_nothing_of_its_key(tmp_path: Path) -> None:
    own = Authority(tmp_path).issue("own")
    pair = KeyStore().read(files_of(own))
    assert repr(pair) == str(pair) == f"KeyPair({own.certificate})"


def test_what_was_read_as_root_is_there_for_who_is_not(tmp_path: Path) -> None:
    own = Authority(tmp_path).issue("own")
    keys = KeyStore()
    keys.read(files_of(own))
    own.key.chmod(0)
    child = os.fork()  # a child gives its privileges up, so that root can run this test as well
    if child == 0:
        if os.getuid() == 0:
            os.setuid(65534)
        code = 1
        try:
            keys.read(files_of(own))
        except ConfigError as error:
            pair = keys.read(files_of(own), or_kept=True)
            pair.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
            code = 0 if "cannot be read: Permission denied" in str(error) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    keys.keep(())
    with pytest.raises(ConfigError):
        Certificates({"mx": plan_of(Issued(tmp_path / "no", tmp_path / "no"))}, keys)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    missing = [Issued(tmp_path / name, tmp_path / name) for name in ("a", "b")]
    with pytest.raises(ConfigError) as caught:
        Certificates({"mx": plan_of(*missing, client_ca=tmp_path / "c")}, KeyStore())
    assert [problem.partition(" ")[0] for problem in caught.value.problems] == [str(tmp_path / name) for name in "abc"]


def kinds(records: Sequence[Record]) -> list[type]:
    return [type(record) for record in records]


def test_a_change_is_used_once_it_has_settled(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own = authority.issue("own", ["relay.example.com"])
    certificates = Certificates({"mx": plan_of(own)}, KeyStore())
    first = shown(certificates, authority)
    assert certificates.look(1) == []
    assert not certificates.has_changed()
    authority.issue("own", ["relay.example.com"])
    assert certificates.has_changed()
    assert certificates.look(2) == []  # it may not be whole yet
    assert shown(certificates, authority) == first
    (told,) = certificates.look(3)
    assert isinstance(told, CertificateLoaded)
    assert told.fingerprint == shown(certificates, authority) != first
    assert certificates.look(4) == []


def test_a_broken_pair_leaves_the_last_good_one(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own = authority.issue("own", ["relay.example.com"])
    certificates = Certificates({"mx": plan_of(own)}, KeyStore())
    first, good = shown(certificates, authority), own.key.read_bytes()
    own.key.write_bytes(authority.issue("other").key.read_bytes())
    assert kinds([*certificates.look(1), *certificates.look(2)]) == [CertificateRefused]
    assert certificates.look(3) == []  # told once
    assert shown(certificates, authority) == first
    own.certificate.unlink()
    assert kinds([*certificates.look(4), *certificates.look(5)]) == [CertificateRefused]
    own = authority.issue("own", ["relay.example.com"])
    assert kinds([*certificates.look(6), *certificates.look(7)]) == [CertificateLoaded]
    assert shown(certificates, authority) != first
    assert good != own.key.read_bytes()


def test_client_authorities_are_followed_too(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    clients = Authority(tmp_path / "clients", "Clients")
    own = authority.issue("own", ["relay.example.com"])
    certificates = Certificates({"mx": plan_of(own, client_ca=clients.file)}, KeyStore())
    before = certificates.contexts("mx")()
    sound = clients.file.read_bytes()
    clients.file.write_bytes(b"")
    assert kinds([*certificates.look(1), *certificates.look(2)]) == [CertificateRefused]
    assert certificates.contexts("mx")() is before
    clients.file.write_bytes(sound + authority.file.read_bytes())
    assert kinds([*certificates.look(3), *certificates.look(4)]) == [CertificateLoaded]
    assert len(certificates.contexts("mx")().get_ca_certs()) == 2


def test_names_choose_exactly_or_by_one_label(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    first, second, third = (
        authority.issue("first", ["a.example"]),
        authority.issue("second", ["a.example", "*.b.example"]),
        authority.issue("third", ["x.b.example", "other.example"]),
    )
    context = Certificates({"mx": plan_of(first, second, third)}, KeyStore()).contexts("mx")()

    def named(name: str) -> str:
        found = handshake(context, authority, name).getpeercert()
        assert found is not None
        return str(found["subject"][0][0][1])

    assert named("a.example") == "a.example"
    assert named("y.b.example") == "a.example"  # the second's subject has its first name
    assert (
        handshake(context, authority, "y.b.example").getpeercert()
        != handshake(context, authority, "a.example").getpeercert()
    )
    assert named("x.b.example") == "x.b.example"
    assert named("x.y.b.example") == "a.example"
    assert named("nobody.example") == "a.example"


def test_expiry_is_told_once_a_day(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    soon, later = authority.issue("soon", life=timedelta(days=3.5)), authority.issue("later")
    certificates = Certificates({"mx": plan_of(soon, later)}, KeyStore())
    now = SystemClock().now()
    (told,) = list(certificates.warnings(now))
    assert isinstance(told, CertificateExpiring)
    assert (told.certificate, told.days) == (str(soon.certificate), 3)
    assert list(certificates.warnings(now + WARN_EVERY - 1)) == []
    (told,) = list(certificates.warnings(now + 5 * WARN_EVERY))
    assert isinstance(told, CertificateExpiring)
    assert told.days == 0
