"""Runs by Debian's own Python: a case a line comes in as JSON, what libopendmarc and authheaders say of it goes out.

libopendmarc is given the record where it was found, and says what is to be enforced and what is aligned; authheaders
looks the record up in the zone of the case. Both tell organisations by the list of public suffixes whose file is given.
Nothing of Postroad is imported here.
"""

import ctypes
import json
import sys
from types import SimpleNamespace
from typing import Any

import authheaders  # type: ignore[import-not-found]  # Debian's python3-authheaders
from authheaders import dmarc_lookup
from publicsuffix2 import PublicSuffixList  # type: ignore[import-not-found]

SUFFIXES = sys.argv[1]
STATUS = {14: "absent", 15: "pass", 16: "reject", 17: "quarantine", 18: "none"}
MAILFROM, IPV4, MOZILLA = 1, 4, 1
PASS, FAIL, ALIGNED = 1, 2, 4


class Settings(ctypes.Structure):
    """OPENDMARC_LIB_T of dmarc.h: the kind of the suffix list and its file; no name servers."""

    _fields_ = (("kind", ctypes.c_int), ("file", ctypes.c_char * 4096), ("rest", ctypes.c_char * 1024))


def opendmarc() -> ctypes.CDLL:
    """The library, with its list read."""
    library = ctypes.CDLL("libopendmarc.so.2")
    library.opendmarc_policy_connect_init.restype = ctypes.c_void_p
    for name in ("store_from_domain", "store_spf", "store_dkim", "store_dmarc", "fetch_alignment", "connect_shutdown"):
        getattr(library, f"opendmarc_policy_{name}").argtypes = None
    settings = Settings(MOZILLA, SUFFIXES.encode(), b"")
    assert library.opendmarc_policy_library_init(ctypes.byref(settings)) == 0
    return library


def enforced(library: ctypes.CDLL, case: dict[str, Any]) -> tuple[str, bool, bool]:
    """What libopendmarc would enforce, and whether DKIM and SPF are aligned."""
    context = ctypes.c_void_p(library.opendmarc_policy_connect_init(b"192.0.2.1", IPV4))
    library.opendmarc_policy_store_from_domain(context, case["author"].encode())
    for domain, result in case["spf"]:
        outcome = PASS if result == "pass" else FAIL
        library.opendmarc_policy_store_spf(context, domain.encode(), outcome, MAILFROM, None)
    for domain, result in case["dkim"]:
        outcome = PASS if result == "pass" else FAIL
        library.opendmarc_policy_store_dkim(context, domain.encode(), b"s", outcome, None)
    if case["record"]:
        organization = case["organization"].encode() if case["where"] != case["author"] else None
        status = library.opendmarc_policy_store_dmarc(
            context, case["record"].encode(), case["where"].encode(), organization
        )
        if status:
            library.opendmarc_policy_connect_shutdown(context)
            return f"refused {status}", False, False
    found = library.opendmarc_get_policy_to_enforce(context)
    dkim, spf = ctypes.c_int(), ctypes.c_int()
    library.opendmarc_policy_fetch_alignment(context, ctypes.byref(dkim), ctypes.byref(spf))
    library.opendmarc_policy_connect_shutdown(context)
    return STATUS.get(found, str(found)), dkim.value == ALIGNED, spf.value == ALIGNED


def said(case: dict[str, Any]) -> tuple[str, str]:
    """What authheaders says, of one signature at most: the result and the policy."""

    def look_up(name: str, *_: object) -> str | None:
        found: str | None = case["zone"].get(name.lower())
        return found

    (spf,) = case["spf"]
    sender = SimpleNamespace(result=spf[1], smtp_mailfrom=f"joe@{spf[0]}".encode())
    signed = [SimpleNamespace(result=result, header_d=domain) for domain, result in case["dkim"][:1]]
    result, _, _, policy = authheaders.dmarc_per_from(case["author"], sender, signed[0] if signed else None, look_up)
    return result, policy


def main() -> None:
    """Answer until the input ends."""
    library = opendmarc()
    with open(SUFFIXES, encoding="utf-8") as file:  # noqa: PTH123  the other Python's library wants it open
        suffixes = PublicSuffixList(file)
    dmarc_lookup.get_org_domain = suffixes.get_public_suffix
    authheaders.get_org_domain = suffixes.get_public_suffix
    for line in sys.stdin:
        case = json.loads(line)
        print(json.dumps([*enforced(library, case), *said(case)]), flush=True)


main()
