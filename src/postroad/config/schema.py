"""The whole configuration as one typed value: every package's settings, composed.

Section names are the keys of the TOML file. Options that concern no single package (names, folder,
processes) are declared here. RFC 5321 4.1.1.1 (host names), RFC 5321 4.5.1 (postmaster).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from postroad.aliases.settings import AliasSettings
from postroad.api.settings import ApiSettings
from postroad.auth.settings import AuthSettings
from postroad.delivery.dmarcreportsettings import DmarcReportSettings
from postroad.delivery.returnpathsettings import BatvSettings, SrsSettings, VerpSettings
from postroad.delivery.settings import DeliverySettings
from postroad.delivery.sourcesettings import PoolSettings, SourceSettings
from postroad.delivery.tlsreportsettings import TlsReportSettings
from postroad.desk.settings import DeskSettings
from postroad.listener.settings import DropSettings, LimitsSettings, ListenerSettings
from postroad.listener.signsettings import DkimSettings
from postroad.model.address import parse_domain, parse_mailbox
from postroad.model.errors import AddressError
from postroad.model.option import File, Settings, named
from postroad.net.acme.settings import AcmeSettings
from postroad.net.hostname import host_name
from postroad.net.settings import DirectorySettings, ProcessSettings, ResolverSettings
from postroad.net.tls.keyfiles import KeyFiles
from postroad.net.tls.settings import TlsSettings
from postroad.observe.settings import LogSettings, SinkSettings
from postroad.policy.rates.settings import CountingSettings, RateSettings
from postroad.policy.rules.settings import DeviceSettings, ExpectSettings, RuleSettings, SenderSettings
from postroad.policy.settings import AccessSettings, PolicySettings
from postroad.policy.shield.settings import BanSettings, BreakerSettings, TarpitSettings
from postroad.queue.settings import DsnSettings, QueueSettings, RetrySettings, ShapingSettings
from postroad.recipients.settings import RecipientSettings
from postroad.routing.settings import EgressSettings, RouteSettings, Sites
from postroad.routing.tlssettings import TlsOutSettings
from postroad.spool.settings import SpoolSettings
from postroad.store.acme import CERTIFICATE


def _host_name(text: str) -> str:
    try:
        name = parse_domain(text)
    except AddressError as error:
        raise ValueError(f"not a host name: {error}") from None
    if name.startswith("["):
        raise ValueError('not a host name: an address literal; write a name like "relay.example.com"')
    if "_" in name:
        raise ValueError("not a host name: it has an underscore")
    return name


def _mailbox(text: str) -> str:
    try:
        mailbox = parse_mailbox(text)
    except AddressError as error:
        raise ValueError(f"not an address: {error}") from None
    if not mailbox.domain:
        raise ValueError('needs a domain, like "postmaster@example.com"')
    return text


def _default_postmaster(known: Mapping[str, object]) -> str:
    access = known["access"]
    domains = access.relay_domains if isinstance(access, AccessSettings) else ()
    named = [domain for domain in domains if not domain.startswith(("*", "["))]
    return f"postmaster@{named[0] if named else known['hostname']}"


HostName = Annotated[str, AfterValidator(_host_name)]
MailboxText = Annotated[str, AfterValidator(_mailbox)]
ListenerName = Annotated[str, AfterValidator(named("a listener's name"))]
EgressName = Annotated[str, AfterValidator(named("the name of a source or pool"))]
DeviceName = Annotated[str, AfterValidator(named("a device's name"))]
SinkName = Annotated[str, AfterValidator(named("a sink's name"))]
DirectoryName = Annotated[str, AfterValidator(named("a directory's name"))]


class Config(Settings):
    """Everything that can be set, checked field by field; `config.check` holds the rules across fields."""

    hostname: HostName = Field(
        default_factory=host_name,
        description="Our name in the banner, in EHLO and in Received.",
        json_schema_extra={"default": "the host's fully qualified name"},
    )
    data_dir: File = Field(
        Path("data"),
        description="Folder of the spool and of captured mail; relative to the configuration file's folder.",
        json_schema_extra={"default": '"./data" beside the file'},
    )
    listeners: dict[ListenerName, ListenerSettings] = Field(
        description="Where mail comes in, by name; at least one.", min_length=1
    )
    tls: TlsSettings = Field(TlsSettings(), description="Encryption for clients, and our certificates.")
    acme: AcmeSettings | None = Field(
        None,
        description="A certificate from a CA, renewed by itself.",
        json_schema_extra={"default": "none; with a section, as it says"},
    )
    access: AccessSettings = Field(AccessSettings(), description="Who may relay.")
    bans: BanSettings | None = Field(
        None,
        description="Who is banned for a while.",
        json_schema_extra={"default": "nobody; with a section, as it says"},
    )
    tarpit: TarpitSettings | None = Field(
        None,
        description="Slow answers for clients that err.",
        json_schema_extra={"default": "none; with a section, as it says"},
    )
    breaker: BreakerSettings | None = Field(
        None,
        description="Mail of logins that do not behave as usual is held.",
        json_schema_extra={"default": "it is not; with a section, as it says"},
    )
    policies: tuple[PolicySettings, ...] = Field(
        (),
        description="What else is asked of mail, in order, before it is decided who may relay; each has options of its "
        "own, see [Policies](policies.md).",
        json_schema_extra={"default": "none"},
    )
    policies_path: File = Field(
        Path("policies"),
        description="Folder of policies of your own; relative to the configuration file's folder.",
        json_schema_extra={"default": '"./policies" beside the file'},
    )
    auth: AuthSettings = Field(AuthSettings(), description="Who may log in, and how.")
    rules: tuple[RuleSettings, ...] = Field(
        (),
        description="Who may send what to whom, and what becomes of it; in order, the first that matches ends it.",
        json_schema_extra={"default": "none"},
    )
    expect: tuple[ExpectSettings, ...] = Field(
        (),
        description="Cases that must come out as expected; `postroad check` and every start and reload try them.",
        json_schema_extra={"default": "none"},
    )
    senders: SenderSettings = Field(SenderSettings(), description="Who may use which sender addresses.")
    devices: dict[DeviceName, DeviceSettings] = Field(
        {},
        description="Devices that cannot log in: they may send from their network, bound to what they are for.",
        json_schema_extra={"default": "none"},
    )
    postmaster: MailboxText = Field(
        default_factory=_default_postmaster,
        description="Where mail to the bare <Postmaster> goes (RFC 5321 4.5.1).",
        json_schema_extra={"default": "postmaster@ the first relay domain without wildcard, else postmaster@hostname"},
    )
    resolver: ResolverSettings = Field(ResolverSettings(), description="How DNS is asked.")
    directories: dict[DirectoryName, DirectorySettings] = Field(
        {}, description="Directories (LDAP, Active Directory) by name.", json_schema_extra={"default": "none"}
    )
    routes: tuple[RouteSettings, ...] = Field(
        (RouteSettings(next_hops=("mx",)),),
        description="Where mail goes, in order; the first that matches wins.",
        min_length=1,
        json_schema_extra={"default": 'one route, "*" to "mx"'},
    )
    egress: tuple[EgressSettings, ...] = Field(
        (),
        description="Where mail is sent from, unless its route says so; in order, the first that matches wins.",
        json_schema_extra={"default": "the system's choice"},
    )
    sites: Sites = Field(
        {},
        description='Providers by the names of their MX hosts: a host name, or "*.domain" for all below; a next hop '
        "belongs to the first site that has all its hosts.",
    )
    aliases: tuple[AliasSettings, ...] = Field(
        (),
        description="Recipients that stand for others: tables, asked in order.",
        json_schema_extra={"default": "none"},
    )
    recipients: tuple[RecipientSettings, ...] = Field(
        (),
        description="Who exists: all that are for a domain are asked, and names that none knows are refused at RCPT.",
        json_schema_extra={"default": "none"},
    )
    queue: QueueSettings = Field(QueueSettings(), description="When to try again.")
    shaping: tuple[ShapingSettings, ...] = Field(
        (),
        description="Limits and terms for some next hops; all rules that match merge, the last wins.",
    )
    retry: tuple[RetrySettings, ...] = Field(
        (), description="Other times than those of `[queue]` for some mail; all rules that match merge, the last wins."
    )
    dsn: DsnSettings = Field(DsnSettings(), description="Reports to senders.")
    delivery: DeliverySettings = Field(DeliverySettings(), description="How next hops are spoken to.")
    tls_out: TlsOutSettings = Field(TlsOutSettings(), description="Encryption to next hops, and whom we trust there.")
    tls_reports: TlsReportSettings | None = Field(
        None,
        description="Reports about TLS to those who ask for them.",
        json_schema_extra={"default": "nothing is counted, and nobody told"},
    )
    dmarc_reports: DmarcReportSettings | None = Field(
        None,
        description="Reports about mail in the name of domains (DMARC).",
        json_schema_extra={"default": "none are sent or taken in"},
    )
    sources: dict[EgressName, SourceSettings] = Field(
        {},
        description="From where mail can leave, by name; routes name one, or a pool of them.",
        json_schema_extra={"default": "none"},
    )
    pools: dict[EgressName, PoolSettings] = Field(
        {}, description="Sources that take turns, by name.", json_schema_extra={"default": "none"}
    )
    dkim: DkimSettings | None = Field(
        None,
        description="Mail that is sent from here is signed.",
        json_schema_extra={"default": "it is not; with a section, as it says"},
    )
    srs: SrsSettings | None = Field(
        None,
        description="Reverse-paths of ours for mail that is forwarded.",
        json_schema_extra={"default": "mail is forwarded as it came"},
    )
    batv: BatvSettings | None = Field(
        None,
        description="Tags by which reports about our mail are known.",
        json_schema_extra={"default": "none"},
    )
    verp: VerpSettings | None = Field(
        None,
        description="Reverse-paths that name the recipient.",
        json_schema_extra={"default": "none"},
    )
    spool: SpoolSettings = Field(SpoolSettings(), description="How accepted mail is kept.")
    drops: DropSettings = Field(DropSettings(), description="Mail that programs of this machine drop.")
    limits: LimitsSettings = Field(LimitsSettings(), description="What one peer, and all together, may take.")
    rates: tuple[RateSettings, ...] = Field((), description="How much may be sent, by whom; all that are for it hold.")
    counting: CountingSettings = Field(CountingSettings(), description="Where that is counted.")
    process: ProcessSettings = Field(ProcessSettings(), description="The process itself.")
    desk: DeskSettings | None = Field(
        None,
        description="Health and metrics over HTTP.",
        json_schema_extra={"default": "no such listener; with an empty section, one on the loopback"},
    )
    api: ApiSettings | None = Field(
        None,
        description="Mail over HTTP.",
        json_schema_extra={"default": "no such listener; with a section, one on the loopback"},
    )
    log: LogSettings = Field(LogSettings(), description="How records are written.")
    sinks: dict[SinkName, SinkSettings] = Field(
        {},
        description="Where records go beside the log, by name.",
        json_schema_extra={"default": "none"},
    )

    @property
    def spool_folder(self) -> Path:
        """Where accepted mail is kept."""
        return self.data_dir / "spool"

    @property
    def control_socket(self) -> Path:
        """Where commands reach the running server."""
        return self.data_dir / "control.sock"

    @property
    def sinks_folder(self) -> Path:
        """Where records wait for webhooks."""
        return self.data_dir / "sinks"

    @property
    def suspensions_file(self) -> Path:
        """Where suspensions are kept."""
        return self.data_dir / "suspensions.json"

    @property
    def auth_key_file(self) -> Path:
        """Where the key is kept that made-up answers to strangers are made with."""
        return self.data_dir / "auth.key"

    @property
    def rates_file(self) -> Path:
        """Where what is used up of long rates is kept."""
        return self.data_dir / "rates.json"

    @property
    def counts_file(self) -> Path:
        """Where what is used up of long limits of `rates` is kept."""
        return self.data_dir / "counts.json"

    @property
    def bans_file(self) -> Path:
        """Where bans are kept."""
        return self.data_dir / "bans"

    @property
    def accounts_file(self) -> Path:
        """Where it is kept which logins are held or locked."""
        return self.data_dir / "accounts.json"

    @property
    def habits_file(self) -> Path:
        """Where it is kept what is usual for each login."""
        return self.data_dir / "habits.json"

    @property
    def acme_folder(self) -> Path:
        """Where accounts and certificates by ACME are kept."""
        return self.data_dir / "acme"

    @property
    def acme_files(self) -> KeyFiles | None:
        """Where the certificate by ACME lies, with its key; None when none is wanted."""
        file = self.acme_folder / CERTIFICATE
        return None if self.acme is None else KeyFiles(file, file)

    @property
    def drop_folder(self) -> Path:
        """Where programs of this machine leave mail."""
        return self.data_dir / self.drops.folder

    @property
    def greylist_file(self) -> Path:
        """Where greylisting remembers who came back."""
        return self.data_dir / "greylist.db"

    @property
    def sts_file(self) -> Path:
        """Where MTA-STS policies of domains are kept."""
        return self.data_dir / "mta-sts.db"

    @property
    def received_reports_file(self) -> Path:
        """Where reports are that others sent us."""
        return self.data_dir / "received-reports.db"

    @property
    def dmarc_reports_file(self) -> Path:
        """Where it is counted what reports about DMARC tell."""
        return self.data_dir / "dmarc-reports.db"

    @property
    def tls_reports_file(self) -> Path:
        """Where it is counted what TLS reports tell."""
        return self.data_dir / "tls-reports.db"

    @property
    def sent_file(self) -> Path:
        """Where it is written down what came in by the API."""
        return self.data_dir / "api.db"

    @property
    def capture_folder(self) -> Path:
        """Where the next hop `capture:` puts mail."""
        return self.data_dir / "capture"
