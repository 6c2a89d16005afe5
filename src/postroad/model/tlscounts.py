"""What TLS reports count: how many connections to a domain's hosts ended how, on one day. RFC 8460 4.

Days are numbers of days since 1970 in UTC.
"""

from msgspec import Struct


class TlsKey(Struct, frozen=True):
    """What is counted: connections of one day to one domain under one policy (its lines) with one result.

    For a success the rest is empty.
    """

    day: int
    domain: str
    policy_type: str
    policy: str
    result: str
    mx_host: str = ""
    sending_ip: str = ""
    receiving_ip: str = ""
    words: str = ""


class TlsCount(Struct, frozen=True):
    """How many there were."""

    key: TlsKey
    count: int
