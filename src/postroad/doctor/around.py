"""What checks are given: the configuration, DNS, clocks, and the way to a session that comes from afar.

All of it comes from outside, so that a check can be shown any world; none of them changes anything.
"""

from collections.abc import Awaitable, Callable

from msgspec import Struct

from postroad.config.schema import Config
from postroad.doctor.talk import Talk
from postroad.model.dns import Lookup
from postroad.net.clock import Clock
from postroad.net.dns.validation import Proof


class Around(Struct, frozen=True):
    """For all checks: `stranger` begins a session in memory, at a listener, from an address.

    `nameservers` are those that are asked, as text; `prove` finds out whether they validate, each asked apart.
    """

    config: Config
    lookup: Lookup
    clock: Clock
    nameservers: tuple[str, ...]
    stranger: Callable[[str, str], Talk]
    prove: Callable[[], Awaitable[Proof]]
