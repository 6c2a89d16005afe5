"""`postroad-sendmail -bv`: where mail for some recipients would go, without sending any.

One line a recipient, in the words of Sendmail's -bv; the whole configuration has to be readable.
"""

from pathlib import Path

from postroad.cli.exits import NO_HOST, OK
from postroad.cli.options import configuration
from postroad.model.address import NULL_PATH, Mailbox
from postroad.model.envelope import Envelope, Recipient
from postroad.routing.rules import compile_rules


def verify(file: Path, mailboxes: list[Mailbox]) -> int:
    """Print what the routes say; 68 when they have no place for somebody."""
    config = configuration(file)
    rules = compile_rules(config.routes, config.egress)
    code = OK
    for mailbox in mailboxes:
        recipient = Recipient(mailbox)
        envelope = Envelope(id="", sender=NULL_PATH, recipients=(recipient,), arrived=0, size=0)
        placement = rules.place(envelope, recipient)
        if placement is None:
            print(f"{mailbox.text}... undeliverable: no route is for it")
            code = NO_HOST
        else:
            print(f"{mailbox.text}... deliverable: by {placement.lane} ({placement.reason})")
    return code
