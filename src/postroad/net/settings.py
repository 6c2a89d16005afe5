"""Options of the resolver (`[resolver]`), of the process (`[process]`) and of directories (`[directories.NAME]`).

Units are those of model/option.py. The resolver's defaults suit a validating resolver on the loopback.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

from postroad.model.address import parse_domain
from postroad.model.errors import AddressError
from postroad.model.option import Duration, Nameserver, Secret, SecretText, Settings, Size
from postroad.net.ldap.server import parse_server


def _known_name(text: str) -> str:
    try:
        return text if text in ("", ".") else parse_domain(text)
    except AddressError as error:
        raise ValueError(f"not a name: {error}") from None


KnownName = Annotated[str, AfterValidator(_known_name)]


class ResolverSettings(Settings):
    """How DNS is asked."""

    nameservers: tuple[Nameserver, ...] = Field(
        (),
        description='Servers to ask, in order: "address", "address:port" or "[v6]:port"; none: as in /etc/resolv.conf.',
    )
    timeout: Duration = Field("3s", description="Wait for one answer of one server before the next try.", ge=0.1, le=60)
    attempts: int = Field(
        3, description="Tries in all over the servers before a question counts as timed out.", ge=1, le=10
    )
    signed_name: KnownName = Field(
        ".",
        description="A name that is signed and that the servers must call authentic before DANE counts; asked for its "
        "SOA record now and then.",
        min_length=1,
    )
    bogus_name: KnownName = Field(
        "",
        description="A name whose signatures are wrong, for which a server that validates has no answer.",
        json_schema_extra={"default": "none: it is not tried"},
    )
    cache_size: int = Field(20_000, description="Answers kept in memory.", ge=0, le=1_000_000)
    negative_ttl: Duration = Field("5m", description="Longest time an answer of absence is kept.", ge=0, le=3600)


class ProcessSettings(Settings):
    """The process itself."""

    edges: int = Field(
        0, description="Processes that take mail in beside the main one; 0: one process does everything.", ge=0, le=60
    )
    hang_after: Duration = Field(
        "900ms",
        description="How long one of several processes may hang until it is killed and replaced; the main one, ten times that.",
        ge=0.3,
        le=60,
    )
    workers: int = Field(
        0,
        description="Processes for work that needs much of a processor, at most; started when there is such work, and "
        "ended a minute after the last; 0: as many as there are processors.",
        ge=0,
        le=256,
    )
    worker_memory: Size = Field(
        1 << 30,
        description="Memory that one of them may take.",
        ge=256 << 20,
        json_schema_extra={"default": '`"1GiB"`'},
    )
    user: str = Field(
        "", description="User to become after the ports are open, when started as root; none given: stay who we are."
    )


def _server(text: str) -> str:
    parse_server(text)
    return text


class DirectorySettings(Settings):
    """One directory, of one or more servers with the same content."""

    servers: tuple[Annotated[str, AfterValidator(_server)], ...] = Field(
        description='Servers in order, "ldaps://host", "ldap://host:389"; one that fails is passed over for a while.',
        min_length=1,
    )
    starttls: bool = Field(
        True, description="Begin TLS on `ldap://` before anything else (StartTLS); false sends passwords in the clear."
    )
    ca: str = Field(
        "",
        description="File of the certificates that the servers' are checked with, names included.",
        json_schema_extra={"default": "the system's"},
    )
    bind_dn: str = Field(
        "", description="Who searches: a name, or user@domain with Active Directory; none given: nobody (anonymous)."
    )
    bind_password: SecretText = Field(
        Secret(), description="The password of `bind_dn`.", json_schema_extra={"default": "none"}
    )
    connect_timeout: Duration = Field(
        "3s", description="Time for connecting to one server, TLS and our bind included.", ge=0.1, le=60
    )
    answer_timeout: Duration = Field("4s", description="Time for one answer of one server.", ge=0.1, le=60)
    timeout: Duration = Field(
        "10s", description="Time for a question in all, whatever servers are tried; after it, 4xx.", ge=0.1, le=120
    )
    connections: int = Field(8, description="Connections at most, of each process.", ge=1, le=200)
