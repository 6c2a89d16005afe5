"""The policies that come with Postroad and are asked for by name in `[[policies]]`: each in a file of its own name.

They are imported once one is asked for; a test holds this list and the package `policies` to each other.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from postroad.model.late import Late
from postroad.policy.bind import BuiltIn

_DKIM: Final = Late[BuiltIn]("postroad.policies.dkim", "POLICY")
_DNSBL: Final = Late[BuiltIn]("postroad.policies.dnsbl", "POLICY")
_GREYLIST: Final = Late[BuiltIn]("postroad.policies.greylist", "POLICY")
_HELO: Final = Late[BuiltIn]("postroad.policies.helo", "POLICY")
_PTR: Final = Late[BuiltIn]("postroad.policies.ptr", "POLICY")
_SENDER_DOMAIN: Final = Late[BuiltIn]("postroad.policies.sender_domain", "POLICY")

BUILT_INS: Final[Mapping[str, Late[BuiltIn]]] = MappingProxyType(
    {
        "dkim": _DKIM,
        "dnsbl": _DNSBL,
        "greylist": _GREYLIST,
        "helo": _HELO,
        "ptr": _PTR,
        "sender_domain": _SENDER_DOMAIN,
    }
)
