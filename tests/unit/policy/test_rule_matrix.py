"""Who may send what where, tried whole: every source with every login, every sender and every destination.

What is expected is said by a model of a few lines that knows nothing of rules, so that a rule that leaks into a case it
is not for is seen.
"""

from itertools import product

from tests.support.ruling import config_of, judge

CONFIGURATION = """
[senders]
bind = true
exempt = ["gateway"]

[devices.printers]
networks = ["10.20.0.0/16"]
listeners = ["mx"]
senders = ["*@print.example.com"]
internal = true
sender = "printers@example.com"

[devices.meters]
networks = ["192.0.2.128/25"]
recipients = ["meter@collector.example"]

[[rules]]
name = "interns stay inside"
when = { group = "interns", direction = ["outbound"] }
then = { reject = true }

[[rules]]
name = "nobody writes there"
when = { recipient = "*@forbidden.example" }
then = { reject = true }

[[rules]]
name = "not as us from outside"
when = { sender = ["example.com", "*.example.com"], direction = "inbound", login = "!*" }
then = { reject = true }
"""
IPS = ("192.0.2.1", "192.0.2.200", "10.0.0.5", "10.20.1.1")
LOGINS = ("", "ann", "ian", "gateway")  # ian is an intern
SENDERS = ("ann@example.com", "ian@example.com", "p7@print.example.com", "x@example.org", "")
RECIPIENTS = ("bob@example.com", "eve@example.net", "meter@collector.example", "any@forbidden.example")
LISTENERS = ("mx", "submission")


def is_ours(address: str) -> bool:
    return address.endswith(("@example.com", ".example.com"))


def is_taken(ip: str, login: str, sender: str, recipient: str, listener: str) -> bool:
    """What the configuration means."""
    is_inside, is_meter = ip.startswith("10."), ip == "192.0.2.200"
    is_printer = ip.startswith("10.20.") and listener == "mx"
    if login in ("ann", "ian") and sender not in ("", f"{login}@example.com"):
        return False
    if not login and is_printer and not (sender.endswith("@print.example.com") and is_ours(recipient)):
        return False
    if not login and is_meter and recipient != "meter@collector.example":
        return False
    if recipient == "any@forbidden.example":
        return False
    if login == "ian" and not is_ours(recipient):
        return False
    if not login and not is_inside and is_ours(sender) and is_ours(recipient):
        return False
    return bool(login) or is_inside or is_ours(recipient) or is_meter


def test_every_source_login_sender_and_destination() -> None:
    config = config_of(CONFIGURATION)
    wrong, taken = [], 0
    for ip, login, sender, recipient, listener in product(IPS, LOGINS, SENDERS, RECIPIENTS, LISTENERS):
        found = judge(
            config,
            ip=ip,
            login=login,
            sender=sender,
            to=recipient,
            listener=listener,
            groups=("interns",) if login == "ian" else (),
            addresses=(f"{login}@example.com",) if login else (),
        )
        expected = is_taken(ip, login, sender, recipient, listener)
        taken += expected
        if (found.outcome == "accept") is not expected:
            wrong.append((ip, login, sender, recipient, listener, found.outcome, found.by))
        is_printer = ip == "10.20.1.1" and listener == "mx" and not login
        if expected and is_printer != (found.adjust.sender is not None):
            wrong.append((ip, login, sender, recipient, listener, "sent as", str(found.adjust.sender)))
    assert not wrong, wrong[:5]
    assert 100 < taken < 500  # of 640: neither all nor nothing
