"""Options of a directory as an identity source (`[auth.ldap.NAME]`): how a login is found, proved and described.

The defaults are those of Active Directory; for other directories filter and attributes are set. The servers stand in
`[directories.NAME]`. Places in filters and names are filled with what the client said, escaped.
"""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from postroad.model.option import Settings
from postroad.net.ldap.filters import escape_dn, escape_filter, fill, pack_filter

PLACES: Final = ("login", "user", "domain")
_SAMPLE: Final = dict.fromkeys(PLACES, "sample")


def _filter(text: str) -> str:
    pack_filter(fill(text, _SAMPLE, escape_filter))
    if all(f"{{{place}}}" not in text for place in PLACES[:2]):
        raise ValueError("names no login: {login} stands for what the client says, {user} for what is before its @")
    return text


def _template(text: str) -> str:
    fill(text, _SAMPLE, escape_dn)
    if text and all(f"{{{place}}}" not in text for place in PLACES[:2]):
        raise ValueError("names no login: {login} stands for what the client says, {user} for what is before its @")
    return text


def _attribute(text: str) -> str:
    try:
        pack_filter(f"({text}=x)")
    except ValueError:
        raise ValueError("not the name of an attribute") from None
    return text


Attribute = Annotated[str, AfterValidator(_attribute)]


class LdapSettings(Settings):
    """One directory as an identity source."""

    directory: str = Field(description="Which of `[directories.NAME]` is asked.")
    base: str = Field("", description="The entry below which users are, such as `dc=example,dc=com`.")
    filter: Annotated[str, AfterValidator(_filter)] = Field(
        "(&(objectClass=user)(|(userPrincipalName={login})(sAMAccountName={login})(mail={login})))",
        description="Finds the one entry of a login; `{login}` is what the client says, `{user}` and `{domain}` are its parts at the last @.",
    )
    bind_as: Annotated[str, AfterValidator(_template)] = Field(
        "",
        description="The name to bind as, such as `{login}`, `{user}@corp.example.com` or `uid={user},ou=people,dc=example,dc=com`; "
        "then the user, not `bind_dn`, reads the entry. None given: search first, then bind as what was found.",
    )
    login: Attribute = Field(
        "userPrincipalName",
        description="The attribute whose value is the login from then on, whichever of its names a client used; without one, what the client said.",
    )
    addresses: tuple[Attribute, ...] = Field(
        ("mail", "proxyAddresses"),
        description="Attributes with the addresses the user may send as; values like `smtp:address` count, those of other kinds do not.",
    )
    delegates: tuple[Attribute, ...] = Field(
        (),
        description="Attributes, such as `publicDelegates` or `msExchDelegateListLink`, by which an entry names users and groups that may send as its addresses.",
        json_schema_extra={"default": "none"},
    )
    groups: Literal["off", "direct", "nested", "in-chain"] = Field(
        "direct",
        description="Which groups count: those in the attribute memberOf, or those in groups too, searched level by level on any server, or at once on Active Directory.",
    )
    group_base: str = Field(
        "", description="The entry below which groups are.", json_schema_extra={"default": "the value of `base`"}
    )
    member: Attribute = Field(
        "member", description="The attribute of a group that names its members, for nested groups."
    )

    @property
    def groups_below(self) -> str:
        """Where groups are."""
        return self.group_base or self.base
