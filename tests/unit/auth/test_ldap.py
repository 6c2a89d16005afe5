"""A real directory as an identity source: who gets in by which of their names, as whom, and who never does."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from postroad.auth.ldap import LdapSource, addresses_of, places_of
from postroad.auth.ldapsettings import LdapSettings
from postroad.auth.source import EXPIRED, PASSWORDS, WRONG, Attempt, Denied, Unavailable
from postroad.model.address import parse_mailbox
from postroad.model.identity import Identity
from postroad.net.ldap.codec import Entry
from postroad.net.ldap.directories import make_directory
from postroad.net.ldap.directory import Directory
from postroad.net.settings import DirectorySettings
from tests.support.clock import ManualClock
from tests.support.slapd import READER, READER_PASSWORD, SUFFIX, Slapd, folder_of, group, user

PEOPLE = f"cn=users,{SUFFIX}"
GROUPS = f"cn=groups,{SUFFIX}"
PASSWORD = "pässword of everybody"


def person(name: str, **more: str | list[str]) -> str:
    more.setdefault("mail", f"{name}@example.com")
    more.setdefault("userAccountControl", "512")
    return user(name, password=PASSWORD, attributes={**names(name), **more})


def names(name: str) -> dict[str, str]:
    return {"userPrincipalName": f"{name}@corp.example.com", "sAMAccountName": name}


def dn(name: str) -> str:
    return f"cn={name},{PEOPLE}"


LDIF = (
    folder_of("users")
    + folder_of("groups")
    + person("alice", proxyAddresses=["smtp:al@example.com", "SMTP:alice@example.com", "X500:/o=x", "SIP:a@b.c"])
    + person("bob", publicDelegates=dn("alice"))
    + person("shared", msExchDelegateListLink=f"cn=staff,{GROUPS}", proxyAddresses=["SMTP:info@example.com"])
    + person("twin1", mail="twin@example.com")
    + person("twin2", mail="twin@example.com")
    + person("disabled", userAccountControl="514")
    + person("expired", accountExpires="132000000000000000")
    + person("change", pwdLastSet="0")
    + person("locked", lockoutTime="132000000000000000")
    + person("comma, the (first)*")
    + user("nopassword", attributes=names("nopassword"))
    + group("team", dn("alice"), dn("bob"))
    + group("staff", f"cn=team,{GROUPS}")
    + group("everyone", f"cn=staff,{GROUPS}", f"cn=ring,{GROUPS}")
    + group("ring", f"cn=everyone,{GROUPS}")
    + group("others", dn("bob"))
)  # fmt: skip


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    with Slapd(LDIF) as server:
        yield server


@pytest.fixture
async def directory(slapd: Slapd) -> AsyncIterator[Directory]:
    settings = DirectorySettings(
        servers=(slapd.url,), ca=str(slapd.ca), bind_dn=READER, connect_timeout=30.0, answer_timeout=30.0, timeout=60.0
    )
    made = make_directory(settings, READER_PASSWORD, ManualClock())
    yield made
    await made.close()


def source(directory: Directory, **options: Any) -> LdapSource:
    return LdapSource("ad", LdapSettings(directory="ad", base=SUFFIX, **options), directory, ManualClock())


def attempt(mechanism: str = "PLAIN") -> Attempt:
    return Attempt(ip="192.0.2.1", listener="submission", mechanism=mechanism)


async def verify(ldap: LdapSource, login: str, secret: str = PASSWORD) -> Identity | Denied | Unavailable | None:
    return await ldap.verify(login, secret, attempt())


@pytest.mark.parametrize("login", ["alice", "ALICE", "alice@example.com", "Alice@Corp.Example.Com"])
async def test_one_login_by_each_of_its_names(directory: Directory, login: str) -> None:
    ldap = source(directory)
    assert ldap.offers == {PASSWORDS}
    assert await verify(ldap, login) == Identity(
        "alice@corp.example.com",
        "ad",
        "PLAIN",
        (parse_mailbox("alice@example.com"), parse_mailbox("al@example.com")),
        frozenset((f"cn=team,{GROUPS}", "team")),
    )
    assert await verify(ldap, login, "wrong") == Denied("the directory refuses: invalid credentials (49)")


@pytest.mark.parametrize("secret", ["", "\0", f"\0{PASSWORD}", "\udcff"])
@pytest.mark.parametrize("bind_as", ["", f"cn={{user}},{PEOPLE}"])
async def test_a_password_that_is_empty_is_never_right(directory: Directory, secret: str, bind_as: str) -> None:
    for login in ("alice", "nopassword", "nobody"):
        assert isinstance(await verify(source(directory, bind_as=bind_as), login, secret), Denied)


async def test_an_entry_without_password_cannot_log_in(directory: Directory) -> None:
    assert isinstance(await verify(source(directory), "nopassword"), Denied)


@pytest.mark.parametrize(
    "login",
    [
        *(
            "nobody",
            "",
            " ",
            "*",
            "a*",
            "alice*",
            "alice)(objectClass=*",
            "*)(|(cn=*",
            "\\61lice",
            "alice\0",
            "alice\n",
        ),
        *(" alice", "alice ", "x" * 400, "\udcff", "reader", READER, dn("alice"), "alice@example.com,", "é" * 300),
    ],
)
@pytest.mark.parametrize("bind_as", ["", f"cn={{login}},{PEOPLE}", "{login}"])
async def test_who_is_not_known_is_not_known_whatever_the_name_has_in_it(
    directory: Directory, login: str, bind_as: str
) -> None:
    answer = await verify(source(directory, bind_as=bind_as), login)
    assert answer is None or (bind_as and isinstance(answer, Denied))


async def test_signs_of_filters_and_names_are_part_of_a_name(directory: Directory) -> None:
    name = "comma, the (first)*"
    for ldap in (source(directory), source(directory, bind_as=f"cn={{login}},{PEOPLE}", filter="(cn={login})")):
        answer = await verify(ldap, name)
        assert isinstance(answer, Identity)
        assert answer.login == f"{name}@corp.example.com"


async def test_a_login_that_two_have_is_nobodys(directory: Directory) -> None:
    answer = await verify(source(directory), "twin@example.com")
    assert isinstance(answer, Denied)
    assert answer.reason.startswith("several entries are found for it: cn=twin1")
    assert isinstance(await verify(source(directory), "twin1"), Identity)


@pytest.mark.parametrize(
    ("login", "reason", "meaning"),
    [
        ("disabled", "the account is disabled", WRONG),
        ("expired", "the account has expired", WRONG),
        ("change", "the password must be changed", EXPIRED),
    ],
)
async def test_an_account_that_is_closed(directory: Directory, login: str, reason: str, meaning: str) -> None:
    right, wrong = await verify(source(directory), login), await verify(source(directory), login, "wrong")
    assert isinstance(right, Denied)
    assert right.reason.startswith(reason)
    assert right.meaning == meaning
    assert isinstance(wrong, Denied)
    assert wrong.meaning == WRONG


async def test_bound_as_the_user_who_reads_what_it_is(slapd: Slapd) -> None:
    """Without anybody of ours in the directory: the users read their own entries and groups."""
    settings = DirectorySettings(servers=(slapd.url,), ca=str(slapd.ca), connect_timeout=30.0, answer_timeout=30.0)
    anonymous = make_directory(settings, "", ManualClock())
    ldap = source(anonymous, bind_as=f"cn={{user}},{PEOPLE}", groups="nested", delegates=("publicDelegates",))
    try:
        answer = await verify(ldap, "alice@whatever")
        assert isinstance(answer, Identity)
        assert answer.login == "alice@corp.example.com"
        assert {"team", "staff", "everyone", "ring"} < answer.groups
        assert parse_mailbox("bob@example.com") in answer.addresses
        assert isinstance(await verify(ldap, "alice", "wrong"), Denied)
        assert isinstance(await ldap.look_up("alice", attempt("EXTERNAL")), Unavailable)  # nobody may look
    finally:
        await anonymous.close()


async def test_a_name_of_active_directory_cannot_become_a_distinguished_one(directory: Directory) -> None:
    ldap = source(directory, bind_as="{login}", filter="(cn={login})")
    assert await verify(ldap, dn("alice")) is None
    assert await verify(ldap, "cn=alice") is None


@pytest.mark.parametrize(
    ("groups", "names"),
    [
        ("off", set()),
        ("direct", {"team"}),
        ("nested", {"team", "staff", "everyone", "ring"}),
    ],
)
async def test_groups(directory: Directory, groups: str, names: set[str]) -> None:
    answer = await verify(source(directory, groups=groups, group_base=GROUPS), "alice")
    assert isinstance(answer, Identity)
    assert answer.groups == names | {f"cn={name},{GROUPS}" for name in names}


async def test_addresses_of_others_by_delegation_to_the_user_and_to_its_groups(directory: Directory) -> None:
    delegates = ("publicDelegates", "msExchDelegateListLink")
    alice = await verify(source(directory, delegates=delegates, groups="nested"), "alice")
    assert isinstance(alice, Identity)
    assert {str(one) for one in alice.addresses} == {
        *("alice@example.com", "al@example.com", "bob@example.com", "shared@example.com", "info@example.com"),
    }
    shared = await verify(source(directory, delegates=delegates, groups="nested"), "shared")
    assert isinstance(shared, Identity)
    assert {str(one) for one in shared.addresses} == {"shared@example.com", "info@example.com"}


async def test_who_proved_it_otherwise_is_looked_up(directory: Directory) -> None:
    ldap = source(directory)
    answer = await ldap.look_up("alice", attempt("EXTERNAL"))
    assert isinstance(answer, Identity)
    assert (answer.login, answer.mechanism) == ("alice@corp.example.com", "EXTERNAL")
    assert await ldap.look_up("nobody", attempt("EXTERNAL")) is None
    for login in ("disabled", "expired", "locked"):
        assert isinstance(await ldap.look_up(login, attempt("EXTERNAL")), Denied)
    assert isinstance(await ldap.look_up("change", attempt("EXTERNAL")), Identity)
    assert await ldap.scram_keys("alice", "sha256", attempt()) is None
    assert await ldap.token("alice", "x", attempt()) is None


async def test_a_directory_that_is_down_says_neither_yes_nor_no(slapd: Slapd, directory: Directory) -> None:
    ways = [source(directory), source(directory, bind_as=f"cn={{user}},{PEOPLE}")]
    slapd.kill()
    try:
        for ldap in ways:
            for login, secret in (("alice", PASSWORD), ("alice", "wrong"), ("nobody", PASSWORD)):
                answer = await verify(ldap, login, secret)
                assert isinstance(answer, Unavailable)
                assert secret not in answer.reason
        assert isinstance(await ways[0].look_up("alice", attempt()), Unavailable)
    finally:
        slapd.start()


async def test_a_base_that_is_not_there_says_neither(directory: Directory) -> None:
    ldap = LdapSource("ad", LdapSettings(directory="ad", base="dc=nowhere"), directory, ManualClock())
    assert isinstance(await verify(ldap, "alice"), Unavailable)


@pytest.mark.parametrize(
    ("values", "addresses"),
    [
        (["a@example.com"], ["a@example.com"]),
        (["smtp:b@example.com", "SMTP:a@example.com"], ["a@example.com", "b@example.com"]),
        (["X400:c=us", "sip:a@example.com", "EUM:1@x;y", "smtp:", "smtp:nodomain", "not an address", ""], []),
        (["smtp:a@example.com", "a@example.com"], ["a@example.com"]),
    ],
)
def test_addresses(values: list[str], addresses: list[str]) -> None:
    entry = Entry("cn=x", {"proxyaddresses": tuple(value.encode() for value in values)})
    assert [str(address) for address in addresses_of(entry, ("proxyAddresses",))] == addresses


def test_places_of_a_login() -> None:
    assert places_of("a@b@c") == {"login": "a@b@c", "user": "a@b", "domain": "c"}
    assert places_of("a") == {"login": "a", "user": "a", "domain": ""}


@pytest.mark.parametrize(
    "options",
    [
        {"filter": "(mail=fixed)"},
        {"filter": "(mail={login}"},
        {"filter": "(mail={name})"},
        {"bind_as": "cn=admin"},
        {"bind_as": "{name}"},
        {"login": "a b"},
        {"delegates": ("x)(y",)},
        {"groups": "all"},
    ],
)
def test_options_that_cannot_be_meant(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        LdapSettings(directory="ad", **options)
