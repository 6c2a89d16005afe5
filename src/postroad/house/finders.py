"""Who is asked what TLS a next hop must have, beside the rules of the configuration.

DANE, unless it is turned off; whether the resolver validates is found out when an answer first says that it is
authentic, so that nobody without such a resolver pays for it. RFC 7672 2.1.1.
"""

from functools import partial

from postroad.config.schema import Config
from postroad.model.dns import Lookup
from postroad.model.records import Emit
from postroad.net.clock import Clock
from postroad.net.danecheck import load_matcher
from postroad.net.validation import Validation, prove_all
from postroad.routing.dane import Dane
from postroad.routing.securing import Find


def finders_of(config: Config, lookup: Lookup, clock: Clock, emit: Emit | None = None) -> list[Find]:
    """Those that `config` asks for, in order; what `lookup` is worth is told by `emit`."""
    if not config.tls_out.dane:
        return []
    proof = partial(prove_all, config.resolver, clock)
    return [Dane(lookup, Validation(proof, clock, emit=emit, prepare=load_matcher))]
