"""DANE as it serves, unless it is turned off: asked about next hops of which DNS proves that mail goes there.

Whether the resolver validates is found out when an answer first says that it is
authentic, so that nobody without such a resolver pays for it. RFC 7672 2.1.1.
"""

from functools import partial

from postroad.config.schema import Config
from postroad.model.dns import Lookup
from postroad.model.records import Emit
from postroad.model.security import TlsObserver
from postroad.net.clock import Clock
from postroad.net.dns.validation import Validation, prove_all
from postroad.net.tls.danecheck import load_matcher
from postroad.routing.dane import Dane
from postroad.routing.securing import Find, Validates


def dane_of(
    config: Config, lookup: Lookup, clock: Clock, emit: Emit | None = None, observe: TlsObserver | None = None
) -> tuple[list[Find], Validates | None]:
    """DANE, and who knows whether DNSSEC proves anything; or nothing where `config` turns it off.

    What `lookup` is worth is told by `emit`.
    """
    if not config.tls_out.dane:
        return [], None
    proof = partial(prove_all, config.resolver, clock)
    validation = Validation(proof, clock, emit=emit, prepare=load_matcher)
    return [Dane(lookup, validation, observe)], validation.is_proved
