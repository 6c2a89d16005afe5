"""Several questions to DNS side by side, each within its own time, and the names that an address really has.

What is not answered in time is a time-out like any other: never an answer of absence. A name of an address counts
when it leads back to the address (it is forward-confirmed then); anybody may claim any other name.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from msgspec import Struct

from postroad.model.dns import Answer, DnsStatus, Lookup
from postroad.model.reverse import Address, address_of, name_of

NAMES_LIMIT: Final = 10  # names of one address that are looked up; RFC 7208 4.6.4 has the same bound


class Confirmed(Struct, frozen=True):
    """The names of an address: all that it has, and those that lead back to it; `is_known`: DNS said so."""

    claimed: tuple[str, ...]
    names: tuple[str, ...]
    is_known: bool


async def ask(lookup: Lookup, name: str, kind: str, seconds: float) -> Answer:
    """The answer, or that it took longer than `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            return await lookup(name, kind)
    except TimeoutError:
        return Answer(DnsStatus.TIMED_OUT)


async def ask_all(lookup: Lookup, questions: Iterable[tuple[str, str, float]]) -> list[Answer]:
    """The answers to (name, kind, seconds), asked side by side."""
    return list(await asyncio.gather(*(ask(lookup, *question) for question in questions)))


@asynccontextmanager
async def side_by_side(lookup: Lookup, names: Sequence[str], kind: str) -> AsyncIterator[Iterable[Awaitable[Answer]]]:
    """The answers for `names`, in order, all asked for at once; what nobody waited for in the end is given up."""
    asked = [asyncio.ensure_future(lookup(name, kind)) for name in names]
    try:
        yield asked
    finally:
        for one in asked:
            one.cancel()
        await asyncio.gather(*asked, return_exceptions=True)


async def addresses_of(lookup: Lookup, names: Sequence[str], seconds: float) -> list[tuple[str, list[Answer]]]:
    """Each of `names` with the answers for its IPv4 and its IPv6 addresses."""
    questions = [(name, kind, seconds) for name in names for kind in ("A", "AAAA")]
    answers = await ask_all(lookup, questions)
    return [(name, answers[2 * at : 2 * at + 2]) for at, name in enumerate(names)]


async def confirmed_names(lookup: Lookup, address: Address, seconds: float) -> Confirmed:
    """The names of `address`; each of the two steps may take `seconds`."""
    answer = await ask(lookup, name_of(address), "PTR", seconds)
    claimed = tuple(text for text in answer.records if isinstance(text, str) and text)[:NAMES_LIMIT]
    if not claimed:
        return Confirmed((), (), not answer.is_temporary)
    kind = "A" if address.version == 4 else "AAAA"
    answers = await ask_all(lookup, ((name, kind, seconds) for name in claimed))
    names = [
        name
        for name, found in zip(claimed, answers, strict=True)
        if any(isinstance(text, str) and address_of(text) == address for text in found.records)
    ]
    is_known = bool(names) or not any(found.is_temporary for found in answers)
    return Confirmed(claimed, tuple(names), is_known)
