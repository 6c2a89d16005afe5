"""Options of rules (`[[rules]]`), of cases that must come out as expected (`[[expect]]`), of senders and of devices.

In `when` a list means any of its entries, an entry that begins with "!" takes out, and all keys that are given must
hold. In patterns "*" stands for any text and "?" for one character; "/text/" is a regular expression.
"""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from postroad.model.option import Settings, Size
from postroad.policy.rules.text import (
    Addresses,
    DeferText,
    Findings,
    Mailboxes,
    Networks,
    OneMailbox,
    RejectText,
    RuleName,
    Spans,
    Tags,
    Words,
    Zone,
)

Direction = Literal["inbound", "outbound", "internal"]
Tls = Literal["none", "any", "verified", "TLSv1.2", "TLSv1.3"]
NAMED_THEN = ("accept", "reject", "defer", "hold", "quarantine", "discard")


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str | dict) else value


def _headers(value: object) -> object:
    return {name: _listed(patterns) for name, patterns in value.items()} if isinstance(value, dict) else value


def _then(value: object) -> object:
    """`then = "accept"` is short for `then = { accept = true }`."""
    return {value: True} if isinstance(value, str) and value in NAMED_THEN else value


def _true_is(text: str) -> BeforeValidator:
    return BeforeValidator(lambda value: text if value is True else value)


class WhenSettings(Settings):
    """What must hold; without a key everything does."""

    listener: Words = Field((), description='Names of listeners the mail comes in by, of API keys\' too, or "drops".')
    network: Networks = Field((), description="Networks or addresses of clients.")
    login: Words = Field((), description='Logins that were proved, "*" for any; "!*": without one.')
    group: Words = Field((), description="Groups the login is in, by the names that its identity source gives them.")
    sender: Addresses = Field((), description='Reverse-paths (MAIL FROM); "<>" is the null one.')
    from_: Addresses = Field((), alias="from", description="Addresses in the From field.")
    recipient: Addresses = Field((), description="Recipients (RCPT TO).")
    direction: Annotated[tuple[Direction, ...], BeforeValidator(_listed)] = Field(
        (),
        description="To access.relay_domains from strangers (inbound) or from clients that may relay or have logged in "
        "(internal), or to any other domain (outbound).",
    )
    larger_than: Size = Field(0, description="Octets of content that a message must have more of; 0: any size.", ge=0)
    smaller_than: Size = Field(0, description="Octets of content that a message must have less of; 0: any size.", ge=0)
    tls: Annotated[tuple[Tls, ...], BeforeValidator(_listed)] = Field(
        (), description='How the client\'s connection is encrypted; "verified": with a certificate we trust.'
    )
    time: Spans = Field((), description='Times of the week: "08:00-18:00", "sat,sun", "mon-fri 22:00-06:00".')
    zone: Zone = Field("UTC", description="Time zone of `time`.")
    header: Annotated[dict[str, Words], BeforeValidator(_headers)] = Field(
        {},
        description='Header fields: { Subject = ["*invoice*"], X-Loop = "*" }.',
        json_schema_extra={"default": "`{}`"},
    )
    finding: Findings = Field(
        (),
        description='What `[[policies]]` have found out: "dnsbl:zen.example.org", "ptr:missing", "helo:*"; kinds are dnsbl, '
        "helo, ptr, sender, greylist, spf, and with the content dkim, arc and dmarc.",
    )
    tag: Words = Field((), description="Tags that rules above have given.")


class ThenSettings(Settings):
    """What is done; several go together where they can."""

    accept: bool = Field(False, description="Take it, for any destination: no relay control is asked any more.")
    reject: Annotated[RejectText, _true_is("Refused by policy")] | None = Field(
        None, description='Refuse it for good: true, a text, or "550 5.7.1 text".'
    )
    defer: Annotated[DeferText, _true_is("Not now, try again later")] | None = Field(
        None, description='Refuse it for now: true, a text, or "450 4.7.1 text".'
    )
    discard: bool = Field(False, description="Say yes and throw it away.")
    hold: Annotated[str, _true_is("held by a rule")] = Field(
        "", description="Hold the message until somebody releases it: true, or why."
    )
    quarantine: Annotated[str, _true_is("quarantined by a rule")] = Field(
        "", description='As `hold`, with the tag "quarantine".'
    )
    sender: OneMailbox = Field("", description="Address that it is sent as: the envelope's, not that of the header.")
    redirect: Mailboxes = Field((), description="Addresses that get it instead.")
    add: Mailboxes = Field((), description="Addresses that get it too.")
    tag: Tags = Field((), description="Tags that the message gets; routes can ask for them.")
    tls: Literal["", "required"] = Field("", description='"required": it is sent with TLS only.')
    route: str = Field("", description="Name of the route it takes.")
    rate: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        (), description="Names of `[[rates]]` with `only_rules` that it has to fit into, too."
    )

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        ends = [name for name in ("accept", "reject", "defer", "discard") if getattr(self, name)]
        if len(ends) > 1:
            raise ValueError(f"{' and '.join(ends)} exclude each other")
        changes = [
            name
            for name in ("hold", "quarantine", "sender", "redirect", "add", "tag", "tls", "route", "rate")
            if getattr(self, name)
        ]
        if not ends and not changes:
            raise ValueError(
                f"says nothing; write one of {', '.join(NAMED_THEN)}, sender, redirect, add, tag, tls, route and rate"
            )
        if changes and ends and ends != ["accept"]:
            raise ValueError(f"{ends[0]} and {changes[0]} exclude each other: nothing is left to be changed")
        if self.hold and self.quarantine:
            raise ValueError("hold and quarantine exclude each other")
        return self


class RuleSettings(Settings):
    """One rule."""

    name: RuleName | None = Field(None, description="What reasons call it; without a name, its number.")
    when: WhenSettings = Field(
        WhenSettings(), description="What must hold.", json_schema_extra={"default": "everything"}
    )
    then: Annotated[ThenSettings, BeforeValidator(_then)] = Field(
        description='What is done: a table, or "accept", "reject", "defer", "hold", "quarantine" or "discard".'
    )
    continue_: bool = Field(
        False, alias="continue", description="Go on with the rules below; without, the first that matches ends it."
    )

    @model_validator(mode="after")
    def _ends(self) -> Self:
        then = self.then
        if self.continue_ and (then.accept or then.reject or then.defer or then.discard):
            raise ValueError("continue has no meaning with accept, reject, defer or discard: they end it")
        return self


class ExpectSettings(Settings):
    """One case: a message, and what is to come of it."""

    name: RuleName | None = Field(None, description="What problems call it; without a name, its number.")
    listener: str = Field("", description="Listener it comes in by; without, the first.")
    ip: str = Field("192.0.2.1", description="Address of the client.")
    login: str = Field("", description="Login that was proved.")
    groups: tuple[str, ...] = Field((), description="Groups of the login.")
    addresses: Mailboxes = Field((), description="Addresses that the login may send as.")
    tls: Literal["none", "any", "verified"] = Field("none", description="How the connection is encrypted.")
    sender: str = Field("<>", description="Reverse-path.")
    recipient: str = Field(description="Recipient.")
    size: Size = Field(0, description="Octets of content.", ge=0)
    findings: tuple[str, ...] = Field((), description='What policies find out: "dnsbl:zen.example.org".')
    headers: dict[str, str] = Field({}, description="Header fields.", json_schema_extra={"default": "`{}`"})
    at: str = Field("", description='When: "2026-03-02 22:30", in UTC; without, at the time of the check.')
    outcome: Literal["accept", "reject", "defer", "discard", "hold"] = Field(description="What is to come of it.")
    by: str = Field("", description='The rule that decides it, or "relay control"; without, any.')
    tags: Tags = Field((), description="Tags that it must get.")
    route: str = Field("", description="Route that must be chosen.")
    to: Mailboxes = Field((), description="Who must get it, where rules redirect it or add somebody.")


class SenderSettings(Settings):
    """Who may use which sender addresses."""

    bind: bool = Field(
        False,
        description="Logins send only as themselves: as an address that is their name, that their directory entry has, "
        "or that `delegates` gives them; all else is refused (553 5.7.1).",
    )
    header: bool = Field(True, description="With `bind`: the From field, too.")
    null: bool = Field(True, description='With `bind`: the null reverse-path "<>" is anybody\'s.')
    exempt: Words = Field((), description="Logins that `bind` does not concern.")
    delegates: str = Field(
        "",
        description='A file of lines "login  address, address": a domain is all in it; read again when it changes.',
    )


class DeviceSettings(Settings):
    """Devices that cannot log in: known by their network, bound to what they are for."""

    networks: Networks = Field(description="Where they are.", min_length=1)
    listeners: Words = Field((), description="Listeners they come in by; none given: all.")
    senders: Addresses = Field((), description="The only senders they may use; none given: any.")
    recipients: Addresses = Field((), description="The only recipients they may write to; none given: any.")
    internal: bool = Field(False, description="They write to access.relay_domains alone.")
    sender: OneMailbox = Field(
        "", description="Address that their mail is sent as, whatever they say: the envelope's, not that of the header."
    )
    rate: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        (), description="Names of `[[rates]]` with `only_rules` that their mail has to fit into, too."
    )
