"""What `postroad explain` tells of `[[policies]]`: which are asked about a message, at which stage, in which order.

They are named, not asked: some remember whom they saw, and those of the operator may do anything.
"""

from msgspec import Struct

from postroad.config.policies import prepare
from postroad.config.schema import Config


class Named(Struct):
    """A policy that is asked: as it stands in `[[policies]]`, its stage, and what it says of itself."""

    use: str
    stage: str
    text: str


def named_policies(config: Config, listener: str) -> list[Named]:
    """Those that are asked about what comes in by `listener`, in order; stage "" for one that cannot be used."""
    if not config.policies:
        return []
    found = prepare(config)
    named = [
        Named(one.entry.use, one.declaration.stage, one.declaration.text.partition("\n")[0])
        for one in found.policies
        if one.concerns(listener)
    ]
    broken = {problem.path[1]: problem.text for problem in found.problems if isinstance(problem.path[1], int)}
    return named + [Named(config.policies[int(at)].use, "", text) for at, text in broken.items()]


def policy_lines(policies: list[Named]) -> list[str]:
    """A line for each."""
    return [
        f"policy    {one.use} {f'at {one.stage}' if one.stage else 'cannot be used'}: {one.text}" for one in policies
    ]
