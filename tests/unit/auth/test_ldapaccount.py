"""What Active Directory says of an account: the code in the text of a refusal, and the attributes of its state."""

import pytest

from postroad.auth.ldapaccount import refusal_of, state_of
from postroad.auth.source import EXPIRED, WRONG
from postroad.net.ldap.codec import Entry, Result

NOW = 1_700_000_000_000_000  # microseconds since 1970
FILETIME = 116_444_736_000_000_000 + NOW * 10
NEVER = 2**63 - 1
COMPUTED = "msDS-User-Account-Control-Computed"


def refusal(code: str) -> Result:
    """As Active Directory writes it."""
    return Result(49, f"80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data {code}, v2580")


@pytest.mark.parametrize(
    ("code", "reason", "meaning"),
    [
        ("525", "no such user", WRONG),
        ("52e", "wrong password", WRONG),
        ("52E", "wrong password", WRONG),
        ("530", "not permitted to log in at this time", WRONG),
        ("531", "not permitted to log in from this workstation", WRONG),
        ("532", "the password has expired", EXPIRED),
        ("533", "the account is disabled", WRONG),
        ("701", "the account has expired", WRONG),
        ("773", "the password must be changed", EXPIRED),
        ("775", "the account is locked out", WRONG),
    ],
)
def test_the_code_is_told_in_words(code: str, reason: str, meaning: str) -> None:
    denied = refusal_of(refusal(code))
    assert denied.reason.startswith(reason)
    assert denied.reason.endswith(f"(data {code.lower()})")
    assert denied.meaning == meaning


@pytest.mark.parametrize(
    "result", [Result(49), refusal("5e2"), Result(49, "data"), Result(19, "Exceed password retry limit.")]
)
def test_what_has_no_code_is_told_as_it_is(result: Result) -> None:
    denied = refusal_of(result)
    assert (denied.reason, denied.meaning) == (f"the directory refuses: {result}", WRONG)


def state(attributes: dict[str, int], *, by_password: bool = True) -> tuple[str, str]:
    packed: dict[str, tuple[bytes, ...]] = {name.lower(): (str(value).encode(),) for name, value in attributes.items()}
    denied = state_of(Entry("cn=x", packed), NOW, by_password=by_password)
    return ("", "") if denied is None else (denied.reason, denied.meaning)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"userAccountControl": 512},
        {"accountExpires": 0},
        {"accountExpires": NEVER},
        {"accountExpires": FILETIME + 1_000_000},
        {"pwdLastSet": FILETIME},
        {"pwdLastSet": 0, "userAccountControl": 512 | 0x10000},
        {"lockoutTime": FILETIME},  # the bind itself has looked whether that is over
        {COMPUTED: 0, "lockoutTime": FILETIME},
    ],
)
def test_who_may_log_in(attributes: dict[str, int]) -> None:
    assert state(attributes) == ("", "")


@pytest.mark.parametrize(
    ("attributes", "reason", "meaning"),
    [
        ({"userAccountControl": 514}, "the account is disabled", WRONG),
        ({"accountExpires": FILETIME}, "the account has expired", WRONG),
        ({"accountExpires": FILETIME - 10**12}, "the account has expired", WRONG),
        ({COMPUTED: 0x10}, "the account is locked out", WRONG),
        ({COMPUTED: 0x800000}, "the password has expired", EXPIRED),
        ({"pwdLastSet": 0, "userAccountControl": 512}, "the password must be changed", EXPIRED),
        ({"pwdLastSet": 0, "userAccountControl": 514}, "the account is disabled", WRONG),
    ],
)
def test_who_may_not(attributes: dict[str, int], reason: str, meaning: str) -> None:
    told = state(attributes)
    assert told[0].startswith(reason)
    assert told[1] == meaning


def test_without_a_password_locks_count_and_its_age_does_not() -> None:
    for harmless in (
        {"pwdLastSet": 0},
        {COMPUTED: 0x800000},
        {"lockoutTime": 0},
        {"lockoutTime": FILETIME, COMPUTED: 0},
    ):
        assert state(harmless, by_password=False) == ("", "")
    assert state({"lockoutTime": FILETIME}, by_password=False)[0].startswith("the account is locked out")
    assert state({"userAccountControl": 2}, by_password=False)[0].startswith("the account is disabled")


@pytest.mark.parametrize("value", [b"", b"x", b"\xff", b"1" * 30, b"-", "²".encode()])
def test_what_is_no_number_says_nothing(value: bytes) -> None:
    entry = Entry("cn=x", {"useraccountcontrol": (value,), "accountexpires": (value,)})
    assert state_of(entry, NOW, by_password=True) is None
