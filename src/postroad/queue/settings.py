"""Options of the queue (`[queue]`): when to try again, when to give up, how much at once.

Units are those of model/option.py. RFC 5321 4.5.4.1 asks for at least 4 to 5 days before giving up.
"""

from pydantic import Field, field_validator

from postroad.model.option import Duration, Settings, Size


class QueueSettings(Settings):
    """How accepted mail waits."""

    retry: tuple[Duration, ...] = Field(
        ("1m", "5m", "15m", "30m", "1h", "2h", "4h"),
        description="Pauses between tries of a recipient, each with up to 10 % of jitter; the last repeats.",
        min_length=1,
    )
    expire_after: Duration = Field(
        "5d", description="Age at which an undelivered recipient fails and its sender gets a DSN.", gt=0
    )
    warn_after: Duration = Field(
        "4h", description='Age at which the sender is told of the delay, once; "never" turns it off.', gt=0
    )
    suspend: tuple[Duration, ...] = Field(
        ("15s", "30s", "1m", "2m", "5m", "10m"),
        description="Pauses of a next hop that keeps failing, each ended by a probe with one message; the last repeats.",
        min_length=1,
    )
    return_size: Size = Field(
        "64KiB",
        description="Octets of a message that a failure DSN returns in full; of a larger one only the header section.",
        ge=0,
        le=16 << 20,
    )
    window: int = Field(
        20_000, description="Recipients held in memory for delivery; more wait on disk.", ge=100, le=1_000_000
    )
    window_content: Size = Field(
        "64MiB", description="Octets of content held in memory for delivery; more is read from disk.", ge=0
    )
    concurrency: int = Field(
        20, description="Connections to one next hop at most; fewer while it fails.", ge=1, le=1000
    )
    deliveries: int = Field(500, description="Connections to all next hops together.", ge=1, le=10_000)

    @field_validator("retry", "suspend")
    @classmethod
    def _positive(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 < pause <= 30 * 86400 for pause in value):
            raise ValueError("each pause must be more than 0 and at most 30d")
        return value
