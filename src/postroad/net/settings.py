"""Options of the resolver (`[resolver]`).

Units are those of model/option.py. The defaults suit a validating resolver on the loopback.
"""

from pydantic import Field

from postroad.model.option import Duration, Nameserver, Settings


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
    cache_size: int = Field(20_000, description="Answers kept in memory.", ge=0, le=1_000_000)
    negative_ttl: Duration = Field("5m", description="Longest time an answer of absence is kept.", ge=0, le=3600)
