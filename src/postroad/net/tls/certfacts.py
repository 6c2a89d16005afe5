"""What a certificate of ours says, as values: whose it is, how long it holds, and what a channel is bound to by it.

`net.certificate` reads them; it is imported late, since it needs a large library that plain-text relays do without.
"""

from collections.abc import Callable

from msgspec import Struct

from postroad.model.renewal import Life


class CertificateFacts(Struct, frozen=True, gc=False):
    """The facts of the first certificate of a chain.

    `names` are the host names it is for, in lower case, the subject's common name when it lists none; `starts` and
    `expires` are in microseconds since 1970; `fingerprint` is the SHA-256 digest of it in hexadecimal digits;
    `end_point` the digest that the channel binding tls-server-end-point has (RFC 5929 4.1).
    """

    subject: str
    names: tuple[str, ...]
    starts: int
    expires: int
    fingerprint: str
    end_point: bytes


ReadFacts = Callable[[bytes], CertificateFacts]
ReadKey = Callable[[bytes], bytes]


def life_of(facts: CertificateFacts) -> Life:
    """The same as far as it matters for a renewal; what is different for each certificate is in its fingerprint."""
    return Life(facts.names, facts.starts, facts.expires, int(facts.fingerprint[:8], 16) / (1 << 32))
