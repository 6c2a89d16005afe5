"""Strangers before a relay with `[[policies]]`: real sessions, a real resolver, a mini DNS server with block lists.

Time is driven by hand. The policies are those that the configuration's text names, put together as a server does it.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from postroad.config.load import load_config
from postroad.house.asked import Asked, read_policies
from postroad.house.policing import Policing
from postroad.message.dmarcreport import Tally
from postroad.model.address import Mailbox, parse_mailbox
from postroad.model.records import CheckFaulted, CommandRefused, PolicyFaulted
from postroad.policies.relay_control import RelayControl
from tests.support.clock import ManualClock
from tests.support.conversation import Desk
from tests.support.dnsscript import Server, serving
from tests.support.zones import zones

CONFIGURATION = """\
hostname = "relay.example.com"
[listeners.mx]
bind = ["127.0.0.1:0"]
[listeners.submission]
bind = ["127.0.0.2:0"]
[access]
relay_networks = ["10.0.0.0/8"]
relay_domains = ["example.com"]
[resolver]
nameservers = ["127.0.0.1:{port}"]
timeout = "20s"
"""
LISTS = """\
[[policies]]
use = "dnsbl"
listeners = ["mx"]
reject = 3
defer = 2
[[policies.lists]]
zone = "bl.test"
timeout = "20s"
weight = 2
codes = ["127.0.0.2-11"]
help = "see https://bl.test/{subject}"
[[policies.lists]]
zone = "second.test"
timeout = "20s"
[[policies.lists]]
zone = "names.test"
timeout = "20s"
of = "sender"
weight = 3
[[policies.lists]]
zone = "known.test"
timeout = "20s"
weight = -5
"""
GREYLIST = '[[policies]]\nuse = "greylist"\nproven_after = 2\ntimeout = "10s"\n'
CHECKS = """\
[[policies]]
use = "helo"
timeout = "20s"
unresolvable = "reject"
[[policies]]
use = "ptr"
timeout = "14s"
missing = "reject"
generic = "defer"
[[policies]]
use = "sender_domain"
timeout = "14s"
"""
GOOD = {
    ("mail.example.org", "A"): ["203.0.113.9"],
    ("9.113.0.203.in-addr.arpa", "PTR"): ["mail.example.org."],
    ("example.org", "MX"): ["10 mx.example.org."],
    ("mx.example.org", "A"): ["93.184.216.34"],
}
OWN = """\
from postroad.policy.context import RcptContext
from postroad.policy.verdict import Accept


def own(ctx: RcptContext):
    return Accept("own")
"""
Records = dict[tuple[str, str], list[str]]


class World:
    """One relay; `mail` is a whole try of a client, which answers the reply to RCPT."""

    def __init__(self, file: Path, server: Server) -> None:
        self.server = server
        self.clock = ManualClock()
        self.config = load_config(file)
        self.control = RelayControl(self.config.access, parse_mailbox(self.config.postmaster))
        self.desk = Desk(relay_domains=["example.com"], relay_networks=["10.0.0.0/8"])
        emit = self.desk.records.append
        self.asked = Asked(self.config, read_policies(self.config), self.control, emit, self.clock, Tally(0))
        self.names: list[Mailbox] = []  # that were looked up
        self.policing = Policing(self.control, self.knows, self.asked, None, emit, self.clock)

    def knows(self, recipient: Mailbox) -> bool:
        """Everybody but nobody@example.com is known."""
        self.names.append(recipient)
        return recipient.local != "nobody"

    async def mail(
        self,
        ip: str = "203.0.113.9",
        sender: str = "alice@example.org",
        recipients: tuple[str, ...] = ("bob@example.com",),
        helo: str = "mail.example.org",
        listener: str = "mx",
    ) -> str:
        self.desk.stages = self.policing.stages_of(listener)
        conversation, transport = self.desk.connect(ip)
        for line in (f"EHLO {helo}", f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{one}>" for one in recipients)):
            before = len(transport.written)
            conversation.data_received(f"{line}\r\n".encode())
            deadline = time.monotonic() + 30
            while len(transport.written) == before:
                assert time.monotonic() < deadline, line
                await asyncio.sleep(0.002)
        conversation.connection_lost(None)
        replies = [line.decode() for line in transport.written.split(b"\r\n")[:-1]]
        return "\n".join(replies[-len(recipients) :])

    def told(self) -> list[str]:
        """The reasons of refusals."""
        assert not [record for record in self.desk.records if isinstance(record, PolicyFaulted)]
        return [record.detail for record in self.desk.records if isinstance(record, CommandRefused)]


@asynccontextmanager
async def relay(
    folder: Path, policies: str, records: Records, *, broken: tuple[str, ...] = (), silent: tuple[str, ...] = ()
) -> AsyncIterator[World]:
    async with serving(zones(records, broken=broken, silent=silent)) as server:
        file = folder / "postroad.toml"
        file.write_text(CONFIGURATION.format(port=server.port) + policies)
        (folder / "data").mkdir(exist_ok=True)
        world = World(file, server)
        try:
            yield world
        finally:
            world.asked.close()


async def test_block_lists_decide_together(tmp_path: Path) -> None:
    records: Records = {
        ("9.113.0.203.bl.test", "A"): ["127.0.0.4"],
        ("10.113.0.203.bl.test", "A"): ["127.0.0.10"],
        ("10.113.0.203.second.test", "A"): ["127.0.0.2"],
        ("11.113.0.203.bl.test", "A"): ["127.0.0.2"],
        ("11.113.0.203.second.test", "A"): ["127.0.0.2"],
        ("11.113.0.203.known.test", "A"): ["127.0.10.3"],
        ("12.113.0.203.bl.test", "A"): ["127.255.255.254"],
        ("spam.example.net.names.test", "A"): ["127.0.1.2"],
    }
    async with relay(tmp_path, LISTS, records) as world:
        assert await world.mail() == (
            "450 4.7.1 Service unavailable; [203.0.113.9] is listed by bl.test; see https://bl.test/203.0.113.9"
        )
        assert (await world.mail("203.0.113.10")).startswith("554 5.7.1 Service unavailable; [203.0.113.10]")
        assert await world.mail("203.0.113.11") == "250 2.1.5 Ok"  # its name is good elsewhere
        assert await world.mail("203.0.113.12") == "250 2.1.5 Ok"  # the list does not answer us
        named = await world.mail("203.0.113.13", "a@spam.example.net")
        assert named.endswith("[spam.example.net] is listed by names.test")
        faults = [record for record in world.desk.records if isinstance(record, CheckFaulted)]
        assert [(one.check, one.reason) for one in faults] == [("bl.test", "it refuses to answer us: 127.255.255.254")]
        assert world.told()[1] == (
            "dnsbl: bl.test has 203.0.113.10 (127.0.0.10) +2, second.test has 203.0.113.10 (127.0.0.2) +1: 3"
        )


async def test_block_lists_concern_strangers_at_their_listener_alone(tmp_path: Path) -> None:
    every: Records = {(f"{labels}.bl.test", "A"): ["127.0.0.2"] for labels in ("9.113.0.203", "7.0.0.10")} | {
        ("9.113.0.203.second.test", "A"): ["127.0.0.2"]
    }
    async with relay(tmp_path, LISTS, every) as world:
        assert (await world.mail()).startswith("554")
        assert await world.mail("10.0.0.7") == "250 2.1.5 Ok"
        assert await world.mail(listener="submission") == "250 2.1.5 Ok"
        assert await world.mail(recipients=("postmaster@example.com",)) == "250 2.1.5 Ok"
        asked = len(world.server.asked)
        assert (await world.mail(recipients=("bob@example.net",))).startswith("554 5.7.1 <bob@example.net>: Relay")
        assert len(world.server.asked) == asked  # nobody is looked up for what is not relayed anyway


async def test_names_are_looked_up_after_the_client_is_judged_and_before_it_waits(tmp_path: Path) -> None:
    own = tmp_path / "policies" / "own.py"
    own.parent.mkdir()
    own.write_text(OWN)
    listed: Records = {("9.113.0.203.bl.test", "A"): ["127.0.0.2"], ("9.113.0.203.second.test", "A"): ["127.0.0.2"]}
    policies = '[[policies]]\nuse = "own:own"\nlisteners = ["submission"]\n' + GREYLIST + LISTS
    async with relay(tmp_path, policies, listed) as world:
        nobody = ("nobody@example.com",)
        assert (await world.mail(recipients=nobody)).startswith("554 5.7.1")
        assert world.names == []  # a listed client is no reason to ask anybody
        assert (await world.mail("203.0.113.10", recipients=nobody)).startswith("550 5.1.1")  # and need not come back
        assert (await world.mail("203.0.113.10")).startswith("451 4.7.1 Greylisted")
        assert (await world.mail(recipients=nobody, listener="submission")).startswith("550 5.1.1")  # whoever says yes
        assert await world.mail(listener="submission") == "250 2.1.5 Ok"


async def test_many_recipients_are_one_question_to_each_list(tmp_path: Path) -> None:
    many = tuple(f"r{number}@example.com" for number in range(10))
    async with relay(tmp_path, LISTS, {("9.113.0.203.bl.test", "A"): ["127.0.0.2"]}) as world:
        assert (await world.mail(recipients=many)).count("450 4.7.1") == len(many)
        assert len(world.server.asked) == 4
        await world.mail(recipients=many)
        assert len(world.server.asked) == 4  # kept by the resolver


async def test_a_dead_or_silent_dns_refuses_nobody_for_good(tmp_path: Path) -> None:
    quick = LISTS.replace('"20s"', '"200ms"')
    async with relay(tmp_path, quick, {}, broken=("bl.test",), silent=("second.test", "names.test")) as world:
        assert await world.mail() == "250 2.1.5 Ok"
        faults = {record.check for record in world.desk.records if isinstance(record, CheckFaulted)}
        assert faults >= {"bl.test", "second.test", "names.test"}
    async with relay(tmp_path, CHECKS, {}, broken=("",)) as world:
        assert await world.mail() == "451 4.4.3 DNS does not answer, try again later"


async def test_greylisting_over_days(tmp_path: Path) -> None:
    async with relay(tmp_path, GREYLIST, GOOD) as world:
        assert await world.mail() == "451 4.7.1 Greylisted, try again later"
        world.clock.advance(120)
        assert await world.mail() == "451 4.7.1 Greylisted, try again later"
        world.clock.advance(180)
        assert await world.mail() == "250 2.1.5 Ok"
        assert await world.mail("203.0.113.200") == "250 2.1.5 Ok"  # a neighbour in its network
        assert (await world.mail("198.51.100.7")).startswith("451")
        assert (await world.mail(sender="carol@example.org")).startswith("451")
        world.clock.advance(35 * 86400)
        assert await world.mail() == "250 2.1.5 Ok"
        world.clock.advance(37 * 86400)
        assert (await world.mail()).startswith("451")
        assert world.told()[0] == "greylist: 203.0.113.0/24, example.org has to wait 300 s more"


async def test_greylisting_a_provider_and_a_proven_client(tmp_path: Path) -> None:
    other = {
        ("7.100.51.198.in-addr.arpa", "PTR"): ["mx.example.org."],
        ("mx.example.org", "A"): ["198.51.100.7"],
    }
    async with relay(tmp_path, GREYLIST, GOOD | other) as world:
        assert (await world.mail()).startswith("451")
        world.clock.advance(301)
        assert await world.mail("198.51.100.7") == "250 2.1.5 Ok"  # another host of the same provider comes back
        assert (await world.mail(sender="carol@example.org")).startswith("451")
        world.clock.advance(301)
        assert await world.mail(sender="carol@example.org") == "250 2.1.5 Ok"
        assert await world.mail(sender="new@example.net") == "250 2.1.5 Ok"  # it has proven itself twice


async def test_greylisting_survives_a_restart(tmp_path: Path) -> None:
    async with relay(tmp_path, GREYLIST, GOOD) as world:
        assert (await world.mail()).startswith("451")
    async with relay(tmp_path, GREYLIST, GOOD) as world:
        world.clock.advance(301)
        assert await world.mail() == "250 2.1.5 Ok"


async def test_allow_lists_and_greylisting(tmp_path: Path) -> None:
    known: Records = {("9.113.0.203.known.test", "A"): ["127.0.10.3"]}
    async with relay(tmp_path, LISTS + GREYLIST, known) as world:
        assert await world.mail() == "250 2.1.5 Ok"
        assert (await world.mail("198.51.100.7")).startswith("451 4.7.1")


async def test_names_and_senders(tmp_path: Path) -> None:
    records = GOOD | {
        ("null.example.net", "MX"): ["0 ."],
        ("77.113.0.203.in-addr.arpa", "PTR"): ["77-113-0-203.example.net."],
        ("77-113-0-203.example.net", "A"): ["203.0.113.77"],
    }
    async with relay(tmp_path, CHECKS, records) as world:
        assert await world.mail() == "250 2.1.5 Ok"
        assert await world.mail(sender="") == "250 2.1.5 Ok"
        assert await world.mail(helo="relay.example.com") == "550 5.7.1 EHLO name rejected"
        assert await world.mail(helo="203.0.113.9") == "550 5.7.1 EHLO name rejected"
        assert await world.mail(helo="no.example.net") == "550 5.7.1 EHLO name rejected"
        assert await world.mail("203.0.113.10") == "550 5.7.25 Your address has no valid reverse DNS name"
        assert (await world.mail("203.0.113.77")).startswith("450 4.7.25")
        assert await world.mail(sender="a@nowhere.example.net") == "550 5.1.8 Sender domain cannot be reached by mail"
        assert await world.mail(sender="a@null.example.net") == "550 5.7.27 Sender domain takes no mail"
        assert world.told()[-1] == "sender_domain: null.example.net takes no mail (null MX)"
