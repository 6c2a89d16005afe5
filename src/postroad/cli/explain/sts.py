"""What `postroad explain` tells of MTA-STS: policy, mode, age, and when it is looked at again. RFC 8461.

What the running server keeps is read, and what it does not have yet is fetched, but nothing is written.
"""

from typing import Final

from postroad.house.mtasts import Sts
from postroad.model.route import MX
from postroad.routing.lanes import parse_lane
from postroad.routing.stscache import StsState

_SECOND: Final = 1_000_000
_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "m"))


async def sts_text(sts: Sts | None, lane: str, now: int) -> str:
    """The policy of the first domain of `lane` whose MX is looked up, in words; `sts` is closed."""
    if sts is None:
        return ""
    try:
        domains = [hop.host for hop in parse_lane(lane).hops if hop.scheme == MX] if lane else []
        if not domains or domains[0].startswith("["):
            return ""
        state = sts.policies.state(domains[0])
        if state is None:
            fault = sts.policies.fault(domains[0])
            if fault:
                return f"{domains[0]} has none in force: {fault}"
            if sts.policies.is_absent(domains[0]):
                return f"{domains[0]} has no policy"
            return f"{domains[0]} was not asked: DANE decides, or no host is known"
        return state_text(state, now)
    except ValueError:
        return ""
    finally:
        await sts.close()


def state_text(state: StsState, now: int) -> str:
    """A policy in one line."""
    text = (
        f"{state.domain}: mode {state.mode}, mx {', '.join(state.mx) or '(none)'}, id {state.id}, "
        f"{_span(state.age)} old, holds for {_span((state.expires - now) // _SECOND)}, "
        f"fetched again in {_span(max(0, state.next_refresh - now) // _SECOND)}"
    )
    return f"{text}; the last fetch failed: {state.fault}" if state.fault else text


def _span(seconds: int) -> str:
    for size, unit in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
