"""Contexts by what they verify, read again when files change; sessions kept under bounds, and for who asked alone."""

import ssl
from pathlib import Path
from typing import cast

import pytest

from postroad.model.errors import ConfigError
from postroad.net.tls.client import CONTEXTS, SESSION_SECONDS, SESSIONS, ClientContexts, Sessions, Trust
from tests.support.authority import Authority, replace


def test_contexts_verify_as_they_are_asked_to(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    contexts = ClientContexts()
    assert contexts.of(None).verify_mode is ssl.CERT_NONE
    named = contexts.of(Trust(checks_name=True, ca=str(authority.file)))
    assert (named.verify_mode, named.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert not named.hostname_checks_common_name
    assert [one["subject"] for one in named.get_ca_certs()] == [((("commonName", "Test Authority"),),)]
    several = contexts.of(Trust(checks_name=False, ca=str(authority.file)))
    assert (several.verify_mode, several.check_hostname) == (ssl.CERT_REQUIRED, False)
    assert contexts.of(Trust(checks_name=True, ca=str(authority.file))) is named
    for context in (named, several, contexts.of(None)):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    own = ClientContexts(ca=str(authority.file))
    assert len(own.of(Trust(checks_name=True)).get_ca_certs()) == 1


def test_files_are_read_again_and_trouble_changes_nothing(tmp_path: Path) -> None:
    first, second = Authority(tmp_path / "a"), Authority(tmp_path / "b", "Second")
    file = tmp_path / "ca.pem"
    trust = Trust(checks_name=True, ca=str(file))
    told: list[str] = []
    contexts = ClientContexts(tell=told.append)
    with pytest.raises(ConfigError, match=f"{file}: No such file"):
        contexts.of(trust)
    replace(file, first.file.read_bytes())
    before = contexts.of(trust)
    assert contexts.of(trust) is before
    replace(file, b"nonsense")
    assert contexts.of(trust) is contexts.of(trust) is before
    assert [str(file) in one for one in told] == [True]  # once
    file.unlink()
    assert contexts.of(trust) is contexts.of(trust) is before
    assert ["No such file" in one for one in told] == [False, True]
    replace(file, second.file.read_bytes())
    after = contexts.of(trust)
    assert [one["subject"] for one in after.get_ca_certs()] == [((("commonName", "Second"),),)]
    assert after.sessions is not before.sessions  # what was verified by the old one is not resumed


def test_contexts_are_bounded(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    contexts = ClientContexts()
    for number in range(CONTEXTS + 5):
        file = tmp_path / f"{number}.pem"
        file.write_bytes(authority.file.read_bytes())
        contexts.of(Trust(checks_name=True, ca=str(file)))
    assert len(contexts._made) == CONTEXTS


class Agreed:
    """Stands for a connection in the eyes of `Sessions`; a real one is in the tests of delivery."""

    def __init__(self, name: str, *, reused: bool = False, ticket: bool = True) -> None:
        self.session = type("Session", (), {"has_ticket": ticket, "id": b"", "name": name})()
        self.session_reused = reused


def keep(sessions: Sessions, key: object, agreed: Agreed) -> None:
    sessions.keep(key, cast(ssl.SSLObject, agreed))


def name_of(sessions: Sessions, key: object) -> str | None:
    found = sessions.find(key)
    return None if found is None else str(found.name)  # type: ignore[attr-defined]  # of Agreed


def test_sessions_are_bounded_in_number_and_age() -> None:
    now = [0.0]
    sessions = Sessions(lambda: now[0])
    for number in range(SESSIONS + 10):
        keep(sessions, number, Agreed(str(number)))
    assert len(sessions) == SESSIONS
    assert sessions.find(0) is None
    assert name_of(sessions, SESSIONS) == str(SESSIONS)
    keep(sessions, "none", Agreed("x", ticket=False))
    assert sessions.find("none") is None
    now[0] = SESSION_SECONDS - 1
    keep(sessions, SESSIONS, Agreed("resumed", reused=True))
    assert name_of(sessions, SESSIONS) == "resumed"
    now[0] = SESSION_SECONDS  # counted from the handshake that the chain began with
    assert sessions.find(SESSIONS) is None
    keep(sessions, "fresh", Agreed("fresh"))
    now[0] += SESSION_SECONDS - 1
    assert name_of(sessions, "fresh") == "fresh"


def test_a_name_stands_for_one_handshake() -> None:
    context = ClientContexts().of(None)
    with context.asking("mx.example.net", "key") as text, context.asking("mx.example.net", "key") as other:
        assert text != other
        made = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=text)
        assert made.server_hostname == "mx.example.net"
    with context.asking(None, "key") as text:
        assert context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=text).server_hostname is None
    assert context._asked == {}
    plain = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="a.example")
    assert plain.server_hostname == "a.example"
