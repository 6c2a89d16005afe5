"""What the rates of `[[rates]]` and the rules of `[[rules]]` know of each other: names, passed on as a fact.

A rate with `only_rules` is asked for what a rule names it for, and for nothing else. Rules put the fact; the limits,
which are asked last at each stage of what all others take, read it.
"""

from msgspec import Struct

from postroad.model.address import Mailbox


class RatesWanted(Struct, frozen=True):
    """A fact: the rates called `names` are to be asked too.

    It may be put at any stage of a transaction; at stage rcpt it stands for `recipient` alone, else for all of them.
    """

    names: tuple[str, ...]
    recipient: Mailbox | None = None
