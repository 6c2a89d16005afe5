"""What TLS mail must have on its way to a target, who says so and why, and what became of it.

A `Security` is decided while a route is planned and carried by each target, so connections of different demands are
never mixed. A `TlsOutcome` tells an observer how one attempt to meet a demand ended, in the terms of TLS reports
(RFC 8460 4.3, 4.4). RFC 7672 (DANE for SMTP), RFC 8461 (MTA-STS), RFC 8689 (REQUIRETLS).
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from postroad.model.dns import TlsaRecord

NONE: Final = "none"
OPPORTUNISTIC: Final = "opportunistic"
REQUIRED: Final = "required"
VERIFIED: Final = "verified"
FINGERPRINT: Final = "fingerprint"
DANE: Final = "dane"
LEVELS: Final = (NONE, OPPORTUNISTIC, REQUIRED, VERIFIED, FINGERPRINT, DANE)

UNSAID: Final = ""  # as [delivery] tls says: only whose mail it is was said, or why it is not more

BY_DEFAULT: Final = "default"
BY_RULE: Final = "rule"
BY_DANE: Final = "dane"
BY_STS: Final = "mta-sts"
BY_REQUIRETLS: Final = "requiretls"
BY_POLICY: Final = "policy"

SUCCESS: Final = "success"
NO_STARTTLS: Final = "starttls-not-supported"  # RFC 8460 4.3.1
TLSA_INVALID: Final = "tlsa-invalid"  # RFC 8460 4.3.2.1
DNSSEC_INVALID: Final = "dnssec-invalid"
DANE_REQUIRED: Final = "dane-required"


class Security(Struct, frozen=True, gc=False):
    """What TLS a target must have before mail goes there, and who says so.

    `level` is one of LEVELS or UNSAID, `source` one of the BY_ words, `reason` in words for people; it stands in the
    delivery record. The certificate must carry one of `names` (VERIFIED, and DANE usage 2), and lead to an anchor in
    the file `ca` ("": the system's), or match one of `tlsa` (usable records, DANE) or of `fingerprints`. Of a demand
    that is `testing` a failure is reported and mail goes all the same (RFC 8461 5). `domain` is whose policy it is, and
    `policy` its text in lines, as a TLS report has them. `crl` is a file of revocation lists that count.
    """

    level: str
    source: str
    reason: str
    names: tuple[str, ...] = ()
    tlsa: tuple[TlsaRecord, ...] = ()
    fingerprints: tuple[str, ...] = ()
    ca: str = ""
    testing: bool = False
    domain: str = ""
    policy: tuple[str, ...] = ()
    crl: str = ""


class Secured(Struct, frozen=True, gc=False, omit_defaults=True):
    """What TLS one connection had: the demand it met, who made it and why, and whether it was verified.

    `level` is what was done in the end, where a demand that is testing, or opportunistic, was not met; then `words`
    say why. `resumed`: by a session that was agreed on, and verified, earlier.
    """

    level: str
    source: str
    reason: str
    verified: bool = False
    resumed: bool = False
    words: str = ""


class TlsOutcome(Struct, frozen=True, gc=False):
    """How one connection met its demand: `result` is a result type of RFC 8460 4.3, or SUCCESS.

    `policy_type` is "tlsa", "sts" or "no-policy-found" (RFC 8460 4.4), `policy` its text in lines; `words` say for
    people what went wrong. The addresses are those of the connection, "" where there was none.
    """

    domain: str
    mx_host: str
    policy_type: str
    policy: tuple[str, ...]
    result: str
    receiving_ip: str = ""
    sending_ip: str = ""
    words: str = ""


TlsObserver = Callable[[TlsOutcome], None]
