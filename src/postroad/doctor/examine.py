"""The whole examination, check by check, in the order in which a fault in one explains those after it.

A check that fails itself, or takes too long, is a finding that it could not be looked at: it never stops the others.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from types import MappingProxyType
from typing import Final

from postroad.doctor.around import Around
from postroad.doctor.certificates import check_certificates
from postroad.doctor.directories import check_directories
from postroad.doctor.finding import Finding, unknown
from postroad.doctor.hops import check_hops
from postroad.doctor.listeners import check_listeners
from postroad.doctor.machine import check_machine
from postroad.doctor.names import check_names
from postroad.doctor.relay import check_relay
from postroad.doctor.resolver import check_resolver

CHECK_SECONDS: Final = 300.0

Check = Callable[[Around], AsyncIterator[Finding]]

CHECKS: Final[Mapping[str, Check]] = MappingProxyType(
    {
        "machine": check_machine,
        "resolver": check_resolver,
        "names": check_names,
        "listeners": check_listeners,
        "relay": check_relay,
        "hops": check_hops,
        "directories": check_directories,
        "certificates": check_certificates,
    }
)


async def examine(
    around: Around, only: frozenset[str] = frozenset(), checks: Mapping[str, Check] = CHECKS
) -> AsyncIterator[Finding]:
    """All `checks`, or `only` those of these names; findings as they come."""
    for name, check in checks.items():
        if not only or name in only:
            async for finding in _bounded(name, check, around):
                yield finding


async def _bounded(name: str, check: Check, around: Around) -> AsyncIterator[Finding]:
    findings = check(around)
    while True:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                finding = await anext(findings, None)
        except TimeoutError:
            finding = unknown(name, f"not done within {CHECK_SECONDS:g} s", f"repeat it alone: postroad doctor {name}")
        except Exception as error:  # noqa: BLE001  a check that is broken is one that tells nothing
            finding = unknown(name, f"the check failed: {error!r}", "please report this: it is a bug")
        if finding is None:
            return
        yield finding  # a generator that failed has ended
