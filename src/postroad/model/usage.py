"""What is used up of the long rates of one shaping rule, as it outlives a restart.

The rule is named by what it covers, since rules change their places: `nth` of those that cover the same.
"""

from msgspec import Struct

Span = tuple[int, int, int]  # first and last instant in microseconds since 1970, and how many were counted in between


class Usage(Struct, frozen=True):
    """The account that `key` names of the rates that the option `name` of the rule sets; `windows` by their period."""

    domains: tuple[str, ...]
    mx: tuple[str, ...]
    sites: tuple[str, ...]
    sources: tuple[str, ...]
    per: str
    nth: int
    name: str
    key: str
    windows: dict[int, list[Span]]
