"""How a peer behaved, for those who learn from it: bans, limits, the watch over accounts.

The listener tells each instance at once, in the order they happen. Unlike a record, which only informs, it is made
for decisions: so it has what they need and nothing for people.
"""

from typing import Literal

from msgspec import Struct

Kind = Literal[
    "auth_failed",  # wrong credentials; `login` is the name that was tried
    "auth_done",  # `login` was proved
    "unknown_recipient",  # refused because there is no such name
    "refused",  # any other refusal by us that well-behaved clients do not meet
    "talked_first",  # before the banner
    "accepted",  # a message became ours; `count` is its recipients
]


class Conduct(Struct, frozen=True, gc=False):
    """One instance: by `ip` at `listener`, as `login` ("" for nobody), `count` times, with these addresses."""

    kind: Kind
    ip: str
    listener: str
    login: str = ""
    count: int = 1
    sender: str = ""
    recipient: str = ""
