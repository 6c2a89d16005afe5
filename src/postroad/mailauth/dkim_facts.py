"""What may be known and shown of a key: all but the key.

Apart from `dkim_private`, which is loaded only where keys are at work.
"""

from collections.abc import Callable

from msgspec import Struct

from postroad.model.option import Secret


class KeyFacts(Struct, frozen=True):
    """A key of type `kind` ("rsa" or "ed25519"): `name` is where `record` is to be published in DNS.

    `zone_line` is the same as a line of a zone file.
    """

    kind: str
    bits: int
    name: str
    record: str
    zone_line: str


MakeKey = Callable[[str, str, str, int], tuple[bytes, KeyFacts]]  # domain, selector, kind, bits: the key in PEM
ReadSecret = Callable[[Secret, str], str]  # the text of what an option keeps secret
# Domain, selector, the key as the option of this name has it, and what reads it.
ReadKey = Callable[[str, str, Secret, str, ReadSecret], KeyFacts]
