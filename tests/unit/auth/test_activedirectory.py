"""What only Active Directory does, from a script: exact reasons of refusals, groups followed by its own rule."""

import asyncio
from typing import Any

import pytest

from postroad.auth.ldap import LdapSource
from postroad.auth.ldapsettings import LdapSettings
from postroad.auth.source import EXPIRED, WRONG, Attempt, Denied, Unavailable
from postroad.model.identity import Identity
from postroad.net.ldap.directories import make_directory
from postroad.net.settings import DirectorySettings
from tests.support.adserver import ActiveDirectory
from tests.support.clock import ManualClock

BASE = "DC=corp,DC=example,DC=com"
ALICE = f"CN=Alice (Sales),OU=People,{BASE}"
STAFF = f"CN=Staff,OU=Groups,{BASE}"
EVERYONE = f"CN=Everyone Else,OU=Groups,{BASE}"
READER = "postroad@corp.example.com"
ATTEMPT = Attempt(ip="192.0.2.1", listener="submission", mechanism="PLAIN")
FOUND = {
    "userPrincipalName": ["alice@corp.example.com"],
    "mail": ["alice@example.com"],
    "userAccountControl": ["512"],
    "accountExpires": ["9223372036854775807"],
    "pwdLastSet": ["133000000000000000"],
    "lockoutTime": ["0"],
}


def by_login(login: str) -> tuple[Any, ...]:
    names = ("userPrincipalName", "sAMAccountName", "mail")
    return ("&", ("=", "objectClass", "user"), ("|", *(("=", name, login) for name in names)))


CHAIN = (":=", "1.2.840.113556.1.4.1941", "member", ALICE)
ENTRIES: dict[object, list[tuple[str, dict[str, list[str]]]]] = {
    by_login("alice"): [(ALICE, FOUND)],
    by_login("alice@corp.example.com"): [(ALICE, FOUND)],
    CHAIN: [(STAFF, {}), (EVERYONE, {})],
}


async def ask(login: str, secret: str, accounts: dict[str, str], **options: Any) -> tuple[object, list[object]]:
    async with ActiveDirectory({READER: "of the reader", **accounts}, ENTRIES) as server:
        settings = DirectorySettings(
            servers=(server.url,),
            starttls=False,
            bind_dn=READER,
            connect_timeout=30.0,
            answer_timeout=30.0,
            timeout=60.0,
        )
        directory = make_directory(settings, "of the reader", ManualClock())
        ldap = LdapSource("ad", LdapSettings(directory="ad", base=BASE, **options), directory, ManualClock())
        answer = await asyncio.wait_for(ldap.verify(login, secret, ATTEMPT), 60)
        await directory.close()
        return answer, server.filters


@pytest.mark.parametrize("bind_as", ["", "{user}@corp.example.com"])
async def test_groups_in_groups_are_one_search(bind_as: str) -> None:
    name = "alice@corp.example.com" if bind_as else ALICE
    answer, filters = await ask("alice", "right", {name: "right"}, bind_as=bind_as, groups="in-chain")
    assert isinstance(answer, Identity)
    assert answer.login == "alice@corp.example.com"
    assert answer.groups == {STAFF, EVERYONE, "Staff", "Everyone Else"}
    assert filters == [by_login("alice"), CHAIN]


@pytest.mark.parametrize(
    ("code", "reason", "meaning"),
    [
        ("533", "the account is disabled (data 533)", WRONG),
        ("775", "the account is locked out (data 775)", WRONG),
        ("532", "the password has expired (data 532)", EXPIRED),
        ("773", "the password must be changed before the first log-in (data 773)", EXPIRED),
        ("right", "wrong password (data 52e)", WRONG),
    ],
)
async def test_why_a_bind_was_refused(code: str, reason: str, meaning: str) -> None:
    answer, _ = await ask("alice", "something", {ALICE: code})
    assert answer == Denied(reason, meaning)


async def test_who_is_not_known_by_its_user_principal_name_is_for_the_next_source() -> None:
    answer, _ = await ask("bob", "something", {}, bind_as="{user}@corp.example.com")
    assert answer is None


async def test_our_own_account_that_is_locked_is_no_answer() -> None:
    answer, _ = await ask("alice", "right", {ALICE: "right", READER: "775"})
    assert isinstance(answer, Unavailable)
    assert "data 775" in answer.reason
