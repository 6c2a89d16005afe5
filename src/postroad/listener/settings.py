"""Options of listeners (`[listeners.NAME]`), of drops (`[drops]`), and of what one peer may cost us (`[limits]`).

Floors are the minima of RFC 5321 4.5.3.1 and 4.5.3.2: a smaller value would refuse valid mail.
"""

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from postroad.model.option import Duration, Endpoint, File, Settings, Size
from postroad.net.tls.keyfiles import KeyFiles
from postroad.net.tls.settings import NONE, anchored_files, pair_of
from postroad.policy.settings import AnyNetwork


def _trusted(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        network = ip_network(value)
    except ValueError as error:
        raise ValueError(f'{error}; write a network like "10.0.0.0/8" or "2001:db8::1/128"') from None
    if network.prefixlen == 0:
        raise ValueError("anyone on the Internet could claim to be anybody; name the addresses of your own proxies")
    return network


TrustedNetwork = Annotated[IPv4Network | IPv6Network, BeforeValidator(_trusted)]


class ListenerSettings(Settings):
    """One listener."""

    bind: tuple[Endpoint, ...] = Field(description='Addresses to listen on: "127.0.0.1:2525", "[::]:25".', min_length=1)
    tls: Literal["default", "off", "starttls", "required", "implicit"] = Field(
        "default",
        description="Encryption: off; starttls: for clients that want it; required: by STARTTLS before anything else (530 5.7.0); implicit: from the first octet on, as on port 465.",
        json_schema_extra={"default": '"starttls" when there is a certificate, else "off"'},
    )
    certificate: File = Field(
        NONE,
        description="File of the certificate chain of this listener in the place of `tls.certificate`.",
        json_schema_extra={"default": "that of `[tls]`"},
    )
    key: File = Field(
        NONE,
        description="File of the private key of `certificate`.",
        json_schema_extra={"default": "the file of the certificate"},
    )
    client_certificates: Literal["off", "request", "require"] = Field(
        "off",
        description="Certificates of clients: off: not asked for; request: one that is shown must be signed by `client_ca`; require: there is no TLS without one.",
    )
    client_ca: File = Field(
        NONE,
        description="File of the certificates in PEM that may sign those of clients, or are those of clients.",
        json_schema_extra={"default": "none"},
    )
    legacy_tls: bool = Field(
        False,
        description="Also speak TLS 1.0 and 1.1, with ciphers that are broken, to devices that know no better; give them a listener of their own.",
    )
    auth: Literal["off", "optional", "required"] = Field(
        "off", description="SMTP AUTH (RFC 4954): not offered, offered, or needed before MAIL."
    )
    greeting_delay: Duration = Field(
        "0s",
        description="Pause before the banner for clients outside `access.relay_networks`; one that talks in it is refused "
        "(554 5.5.1).",
        ge=0,
        le=60,
    )
    greeting_exempt: tuple[AnyNetwork, ...] = Field(
        (), description="Networks whose clients need not wait for the banner either."
    )
    proxy_protocol: bool = Field(
        False,
        description="Expect a header of the PROXY protocol, version 1 or 2, in front of each connection; "
        "whoever connects from elsewhere than `proxies` is cut off.",
    )
    proxies: tuple[TrustedNetwork, ...] = Field(
        (), description="Networks of the proxies that are believed, with `proxy_protocol`."
    )
    xclient: tuple[TrustedNetwork, ...] = Field(
        (), description="Networks whose clients may say by XCLIENT for whom they speak, and as which login."
    )
    newlines: Literal["strict", "normalise"] = Field(
        "strict",
        description="Bare CR, bare LF and NUL in content: refuse the message, or make them CRLF (NUL is dropped).",
    )

    @property
    def files(self) -> KeyFiles | None:
        """Where its own certificate lies; None without one."""
        return pair_of(self.certificate, self.key)

    def anchored(self, folder: Path) -> "ListenerSettings":
        """The same, with relative files taken from `folder`."""
        files = anchored_files(self, folder, "certificate", "key", "client_ca")
        return self.model_copy(update=files) if files else self


class DropSettings(Settings):
    """Mail that programs of this machine drop with `postroad-sendmail`."""

    folder: str = Field(
        "drops",
        description="Folder of drops; relative to `data_dir`. Whoever may send must be able to reach it.",
        min_length=1,
    )
    poll: Duration = Field(
        "1s", description="How often the folder is looked into beside; who drops something rings.", ge=0.1, le=3600
    )


class LimitsSettings(Settings):
    """What one peer, and all together, may take."""

    message_size: Size = Field(
        "50MiB", description="Octets of one message, announced as SIZE (RFC 1870).", ge=64 << 10, le=4 << 30
    )
    header_size: Size = Field("1MiB", description="Octets of a message's header section.", ge=64 << 10, le=64 << 20)
    recipients_per_message: int = Field(
        1000, description="Recipients of one transaction; more get 452 4.5.3 (RFC 5321 4.5.3.1.10).", ge=100, le=100_000
    )
    expanded_recipients: int = Field(
        10_000,
        description="Addresses looked at to find what one message's recipients stand for; more get 451 4.3.5.",
        ge=100,
        le=1_000_000,
    )
    alias_depth: int = Field(
        20, description="Aliases of aliases of one recipient, one after the other; more get 451 4.3.5.", ge=1, le=100
    )
    command_line: Size = Field(
        4096, description="Octets of one command line (RFC 5321 4.5.3.1.4, RFC 3461 4).", ge=1024, le=65536
    )
    sessions: int = Field(2000, description="Sessions in all; more get 421 4.3.2.", ge=1, le=1_000_000)
    sessions_per_ip: int = Field(50, description="Sessions of one address; more get 421 4.7.0.", ge=1, le=1_000_000)
    sessions_per_network: int = Field(
        0,
        description="Sessions of one network, IPv4 /24 or IPv6 /48; more get 421 4.7.0. 0: no limit.",
        ge=0,
        le=1_000_000,
    )
    messages_per_session: int = Field(100_000, description="Messages in one session before 421 4.7.0.", ge=1)
    errors_per_session: int = Field(
        20, description="Refused commands in one session before 421 4.7.0.", ge=1, le=10_000
    )
    junk_commands: int = Field(
        100,
        description="NOOP, RSET, VRFY, HELP and EHLO without a message in between; each one more counts as an error.",
        ge=10,
        le=100_000,
    )
    command_timeout: Duration = Field(
        "5m", description="Wait for the next command (RFC 5321 4.5.3.2.7).", ge=300, le=86400
    )
    data_timeout: Duration = Field(
        "5m", description="Wait for the next part of the content (RFC 5321 4.5.3.2.7).", ge=300, le=86400
    )
    transaction_time: Duration = Field(
        "1h",
        description="Time in all from one message, or the greeting, to the next MAIL's last recipient.",
        ge=300,
        le=604800,
    )
    content_time: Duration = Field("2h", description="Time in all for the content of one message.", ge=300, le=604800)
    hops: int = Field(50, description="Received headers before a loop is declared (RFC 5321 6.3).", ge=10, le=1000)
