"""A directory of real servers: searches and binds, under TLS that is checked, over servers that die, freeze and return.

Time for pauses is the hand-driven clock's; deadlines are real, long where an answer is expected.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator

import pytest

from postroad.model.errors import ConfigError, DirectoryError
from postroad.model.option import Secret
from postroad.net.ldap.codec import BASE, INVALID_CREDENTIALS
from postroad.net.ldap.directories import make_directory
from postroad.net.ldap.directory import Directory, ServerFault
from postroad.net.ldap.filters import escape_filter, fill
from postroad.net.ldap.pool import IDLE_SECONDS, LIFE_SECONDS, LONGEST_PAUSE
from postroad.net.ldap.server import parse_server
from postroad.net.settings import DirectorySettings
from tests.support.clock import ManualClock
from tests.support.directories import Kit
from tests.support.ports import free_port
from tests.support.slapd import READER, SUFFIX, Slapd, folder_of, group, user

USERS = f"cn=users,{SUFFIX}"
ALICE = f"cn=alice,{USERS}"
PASSWORD = "a secret: ünïcode"
LDIF = (
    folder_of("users")
    + folder_of("groups")
    + user(
        "alice",
        password=PASSWORD,
        attributes={"mail": "alice@example.com", "proxyAddresses": ["SMTP:alice@example.com", "smtp:a@b.c"]},
    )
    + "".join(user(f"many{number}", attributes={"mail": "many@example.com"}) for number in range(5))
    + user("star*(x)", attributes={"mail": "star@example.com"})
    + group("staff", ALICE)
)
SHORT = 3.0  # for a server that never answers, while another one does


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Slapd, Slapd]]:
    """Two with the same content."""
    with Slapd(LDIF) as first, Slapd(LDIF) as second:
        yield first, second


@pytest.fixture
def slapd(servers: tuple[Slapd, Slapd]) -> Slapd:
    return servers[0]


@pytest.fixture
async def kit() -> AsyncIterator[Kit]:
    made = Kit()
    yield made
    await made.close()


async def mails(directory: Directory, name: str = "alice") -> list[str]:
    return [entry.text("mail") for entry in await directory.search(SUFFIX, f"(cn={name})", ("mail",))]


# -- what is asked ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["starttls", "ldaps"])
async def test_search_and_bind_under_tls(slapd: Slapd, kit: Kit, kind: str) -> None:
    directory = kit(slapd.url if kind == "starttls" else slapd.tls_url, ca=str(slapd.ca))
    (entry,) = await directory.search(SUFFIX, "(mail=alice@example.com)", ("proxyAddresses", "memberOf"))
    assert entry.dn == ALICE
    assert entry.texts("proxyAddresses") == ("SMTP:alice@example.com", "smtp:a@b.c")
    assert entry.texts("memberOf") == (f"cn=staff,cn=groups,{SUFFIX}",)
    assert (await directory.bind(ALICE, PASSWORD)).is_bound
    bound = await directory.bind(ALICE, "wrong")
    assert (bound.is_bound, bound.result.code) == (False, INVALID_CREDENTIALS)
    assert (await directory.bind(ALICE, PASSWORD)).is_bound
    assert await directory.probe() == {}
    assert kit.faults == []


async def test_a_name_that_is_not_there_is_refused_like_a_wrong_password(slapd: Slapd, kit: Kit) -> None:
    assert not (await kit.of(slapd).bind(f"cn=nobody,{SUFFIX}", PASSWORD)).is_bound
    assert not (await kit.of(slapd).bind("no name at all", PASSWORD)).is_bound


@pytest.mark.parametrize(
    ("dn", "password"), [(ALICE, ""), ("", PASSWORD), ("", ""), (ALICE, "\0"), (ALICE, f"\0{PASSWORD}")]
)
async def test_a_bind_without_password_or_name_never_reaches_the_server(kit: Kit, dn: str, password: str) -> None:
    nowhere = kit(f"ldap://127.0.0.1:{free_port()}", starttls=False)
    assert not (await nowhere.bind(dn, password)).is_bound


async def test_no_more_entries_than_asked_for(slapd: Slapd, kit: Kit) -> None:
    directory = kit.of(slapd)
    for limit, count in ((1, 1), (4, 4), (9, 5)):
        found = await directory.search(SUFFIX, "(mail=many@example.com)", limit=limit)
        assert len(found) == count
        assert found[0].attributes == {}


async def test_one_entry_by_its_name(slapd: Slapd, kit: Kit) -> None:
    directory = kit.of(slapd)
    (entry,) = await directory.search(ALICE, "(objectClass=*)", ("mail",), scope=BASE)
    assert entry.text("mail") == "alice@example.com"
    assert await directory.search(f"cn=nobody,{USERS}", "(objectClass=*)", scope=BASE) == []


async def test_a_base_that_is_not_there_is_no_answer(slapd: Slapd, kit: Kit) -> None:
    with pytest.raises(DirectoryError, match=r"search below dc=nowhere: no such object \(32\)"):
        await kit.of(slapd).search("dc=nowhere", "(mail=x)")
    assert kit.faults == []


@pytest.mark.parametrize(
    "name", ["*", "a*", "alice)(mail=*", "alice)(|(cn=*", "\\2a", "*)(objectClass=*))(|(cn=*", "\0", "Ä" * 2000]
)
async def test_text_of_others_finds_only_what_has_that_text(slapd: Slapd, kit: Kit, name: str) -> None:
    directory = kit.of(slapd)
    assert await directory.search(SUFFIX, fill("(cn={login})", {"login": name}, escape_filter)) == []
    assert await mails(directory, fill("{login}", {"login": "star*(x)"}, escape_filter)) == ["star@example.com"]


async def test_many_questions_at_once_share_few_connections(slapd: Slapd, kit: Kit) -> None:
    directory = kit.of(slapd, connections=3)
    found, bound = await asyncio.gather(
        asyncio.gather(*(mails(directory) for _ in range(60))),
        asyncio.gather(*(directory.bind(ALICE, PASSWORD if number % 2 else "wrong") for number in range(20))),
    )
    assert found == [["alice@example.com"]] * 60
    assert [one.is_bound for one in bound] == [bool(number % 2) for number in range(20)]
    assert kit.faults == []


async def test_a_bind_does_not_change_who_searches(slapd: Slapd, kit: Kit) -> None:
    """Alice may read nothing; the one connection was hers a moment ago."""
    directory = kit.of(slapd, connections=1)
    for _ in range(3):
        assert (await directory.bind(ALICE, PASSWORD)).is_bound
        assert await mails(directory) == ["alice@example.com"]


# -- TLS -------------------------------------------------------------------------------------------


async def test_a_certificate_for_another_name_is_refused(slapd: Slapd, kit: Kit) -> None:
    for url in (f"ldap://127.0.0.2:{slapd.port}", f"ldaps://127.0.0.2:{slapd.tls_port}"):
        with pytest.raises(DirectoryError, match=r"another address .*not valid for '127\.0\.0\.2'"):
            await mails(kit(url, ca=str(slapd.ca)))
        with pytest.raises(DirectoryError, match="another address"):
            await kit(url, ca=str(slapd.ca)).bind(ALICE, PASSWORD)


async def test_a_certificate_of_another_ca_is_refused(servers: tuple[Slapd, Slapd], kit: Kit) -> None:
    for url in (servers[0].url, servers[0].tls_url):
        for ca in (str(servers[1].ca), ""):
            with pytest.raises(DirectoryError, match="leads to"):
                await mails(kit(url, ca=ca))


async def test_a_server_without_starttls_gets_nothing(kit: Kit) -> None:
    with Slapd() as plain:
        plain.kill()
        text = (plain.folder / "slapd.conf").read_text()
        lines = [line for line in text.splitlines(keepends=True) if not line.startswith("TLS")]
        (plain.folder / "slapd.conf").write_text("".join(lines))
        plain.start(with_tls=False)
        with pytest.raises(DirectoryError, match="StartTLS was refused"):
            await kit(plain.url, ca=str(plain.ca)).bind(ALICE, PASSWORD)


def test_a_file_without_certificates_is_a_mistake(slapd: Slapd) -> None:
    for file in (str(slapd.folder / "none.pem"), str(slapd.folder / "slapd.conf")):
        with pytest.raises(ConfigError, match=file):
            make_directory(DirectorySettings(servers=(slapd.url,), ca=file), "", ManualClock())


# -- servers that fail -----------------------------------------------------------------------------


async def test_our_own_wrong_password_is_no_answer_and_is_not_tried_in_a_storm(slapd: Slapd, kit: Kit) -> None:
    directory = kit.of(slapd, password="not of the reader")
    for _ in range(3):
        with pytest.raises(DirectoryError, match=r"bind as cn=reader,.*: invalid credentials \(49\)") as caught:
            await mails(directory)
        assert "not of the reader" not in str(caught.value)
    assert len(kit.faults) == 1


async def test_a_killed_server_is_replaced_by_the_next_and_comes_back(servers: tuple[Slapd, Slapd], kit: Kit) -> None:
    first, second = servers
    directory = kit.of(first, second)
    assert await mails(directory) == ["alice@example.com"]
    assert (await directory.bind(ALICE, PASSWORD)).is_bound
    first.kill()
    try:
        assert await mails(directory) == ["alice@example.com"]
        assert (await directory.bind(ALICE, PASSWORD)).is_bound
        assert [(fault.server, fault.pause) for fault in kit.faults] == [(first.url, 1.0)]
        assert "refused" in kit.faults[0].reason
    finally:
        first.start()
    kit.clock.advance(LIFE_SECONDS + 1)
    assert await mails(directory) == ["alice@example.com"]
    assert [(fault.server, fault.reason) for fault in kit.faults[1:]] == [(first.url, "")]


async def test_a_server_that_was_restarted_costs_no_answer(slapd: Slapd, kit: Kit) -> None:
    """Its kept connections are dead; that is found out with the first question, which is asked again."""
    directory = kit.of(slapd)
    await asyncio.gather(*(mails(directory) for _ in range(8)), *(directory.bind(ALICE, PASSWORD) for _ in range(8)))
    slapd.kill()
    slapd.start()
    assert await mails(directory) == ["alice@example.com"]
    assert (await directory.bind(ALICE, PASSWORD)).is_bound
    assert kit.faults == []


async def test_pauses_grow_while_no_server_works(slapd: Slapd, kit: Kit) -> None:
    directory = kit.of(slapd)
    slapd.kill()
    try:
        pauses = []
        for _ in range(8):
            for _ in range(3):
                with pytest.raises(DirectoryError, match="refused"):
                    await mails(directory)
            pauses.append(kit.faults[-1].pause)
            assert len(kit.faults) == len(pauses)
            kit.clock.advance(pauses[-1] + 0.01)
    finally:
        slapd.start()
    assert pauses == [1, 2, 4, 8, 16, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]
    assert await mails(directory) == ["alice@example.com"]
    assert kit.faults[-1] == ServerFault(slapd.url, "", 0.0)


async def test_a_frozen_server_is_given_up_within_the_deadline(servers: tuple[Slapd, Slapd], kit: Kit) -> None:
    """Over kept connections and over new ones; the next server answers."""
    first, second = servers
    kept = kit.of(first, second, answer_timeout=SHORT)
    fresh = kit.of(first, second, connect_timeout=SHORT)
    alone = kit.of(first, timeout=0.2)
    assert await mails(kept) == ["alice@example.com"]
    first.freeze()
    try:
        assert list(await asyncio.gather(mails(kept), mails(fresh))) == [["alice@example.com"]] * 2
        for question in (mails(alone), alone.bind(ALICE, PASSWORD)):
            with pytest.raises(DirectoryError, match=r"no answer within 0\.2 s"):
                await question
    finally:
        first.thaw()
    assert {(fault.server, fault.reason) for fault in kit.faults} == {
        (first.url, f"no answer within {SHORT:g} s"),
        (first.url, f"no connection within {SHORT:g} s"),
    }


async def test_a_frozen_tls_server_does_not_stop_the_event_loop(slapd: Slapd, kit: Kit) -> None:
    directory = kit(slapd.tls_url, ca=str(slapd.ca), connect_timeout=1.0)
    slapd.freeze()
    try:
        question = asyncio.create_task(directory.bind(ALICE, PASSWORD))
        turns = 0
        while not question.done():
            await asyncio.sleep(0.01)
            turns += 1
        with pytest.raises(DirectoryError, match="no connection within"):
            await question
    finally:
        slapd.thaw()
    assert turns > 2


async def test_one_question_at_a_time_tries_whether_a_server_is_back(slapd: Slapd, kit: Kit) -> None:
    directory = kit.of(slapd, connect_timeout=0.5)
    slapd.freeze()
    try:
        with pytest.raises(DirectoryError):
            await mails(directory)
        kit.clock.advance(kit.faults[-1].pause + 0.01)
        found = await asyncio.gather(*(mails(directory) for _ in range(8)), return_exceptions=True)
    finally:
        slapd.thaw()
    assert all(isinstance(error, DirectoryError) for error in found)
    assert len(kit.faults) == 2


async def test_a_question_that_nobody_waits_for_leaves_no_answer_behind(slapd: Slapd, kit: Kit) -> None:
    directory = kit.of(slapd, connections=1)
    assert await mails(directory) == ["alice@example.com"]
    for _ in range(20):
        lost = asyncio.create_task(mails(directory, "many*"))
        await asyncio.sleep(0)
        lost.cancel()
        await asyncio.gather(lost, return_exceptions=True)
        assert await mails(directory) == ["alice@example.com"]
    assert kit.faults == []


async def test_idle_connections_are_made_anew(slapd: Slapd, kit: Kit) -> None:
    directory = kit.of(slapd)
    assert await mails(directory) == ["alice@example.com"]
    kit.clock.advance(IDLE_SECONDS + 1)
    assert await mails(directory) == ["alice@example.com"]
    assert kit.faults == []


# -- where servers are -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ldap://dc1.example.com", "ldap://dc1.example.com:389"),
        ("ldaps://dc1.example.com/", "ldaps://dc1.example.com:636"),
        ("ldaps://[2001:db8::1]:3269", "ldaps://[2001:db8::1]:3269"),
    ],
)
def test_servers_by_url(text: str, shown: str) -> None:
    assert str(parse_server(text)) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dc1",
        "http://dc1",
        "ldap://",
        "ldap://dc1:0",
        "ldap://dc1:99999",
        "ldap://u:p@dc1",
        "ldap://dc1/dc=x",
        "ldap://dc1?x",
    ],
)
def test_what_is_no_server(text: str) -> None:
    with pytest.raises(ValueError, match="not a server"):
        parse_server(text)


def test_passwords_are_in_no_repr(slapd: Slapd) -> None:
    settings = DirectorySettings(servers=(slapd.url,), starttls=False, bind_dn=READER, bind_password=Secret("geheim"))
    assert "geheim" not in repr(settings)
    assert "geheim" not in repr(make_directory(settings, "geheim", ManualClock()))


def test_contexts_check_chain_and_name(slapd: Slapd) -> None:
    directory = make_directory(DirectorySettings(servers=(slapd.url,), ca=str(slapd.ca)), "", ManualClock())
    context = directory._terms.context
    assert context is not None
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
