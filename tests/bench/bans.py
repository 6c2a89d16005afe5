"""Look-ups in a full table of bans: a million addresses, those that are banned and those that are not.

A row is the time of one look-up as a listener makes it, in microseconds of CPU: the median round, and the worst. The
table is filled with addresses as they come from one network after the other, and with some networks.
"""

from argparse import Namespace
from ipaddress import ip_address, ip_network
from statistics import median
from time import process_time

from postroad.policy.shield.bans import BanRules, Bans
from postroad.policy.shield.bantable import CAPACITY, BanTable, Standing, key_of_network, octets_for

NOW = 1_700_000_000
MOST = 50.0  # microseconds that a look-up may take
ROUNDS = 20
LOOKS = 1000
STEP = 7
FIRST = int(ip_address("11.0.0.0"))
RULES = BanRules(shares={}, half_life=600, ban_time=600, longest=86_400, prefixes=(24, 48), prefix_factor=4)
NETWORKS = ("192.0.2.0/24", "2001:db8::/64", "198.51.0.0/16")


def full() -> tuple[Bans, int]:
    """Bans over a table with as many addresses as it is meant for, and the octets that it has."""
    memory = bytearray(octets_for(CAPACITY))
    table = BanTable(memory, b"key")
    standing = Standing(0.0, NOW, NOW + 3600, 1, 1)
    for network in NETWORKS:
        table.put(key_of_network(ip_network(network)), standing, NOW)
    for number in range(CAPACITY - len(NETWORKS)):
        table.put(key_of_network(ip_network(FIRST + number * STEP)), standing, NOW)
    return Bans(table, RULES), len(memory)


def looks(bans: Bans, offset: int) -> tuple[int, list[float]]:
    """How many of the addresses were banned, and what a look-up took in each round; other addresses each time."""
    banned, took = 0, []
    for first in range(ROUNDS):
        asked = [str(ip_address(FIRST + (first + at * ROUNDS) * STEP + offset)) for at in range(LOOKS)]
        began = process_time()
        banned += sum(bans.judge(ip, NOW) is not None for ip in asked)
        took.append((process_time() - began) / LOOKS * 1e6)
    return banned, took


def bans(_: Namespace) -> int:
    """Print the table; 1 when a ban was not found."""
    made, octets = full()
    print(f"{CAPACITY:,} bans in {octets / 1e6:.1f} MB")
    print("| a look-up, microseconds of CPU | found | median | worst of 20 | promised |")
    print("|---|---:|---:|---:|---:|")
    found = 0
    for what, offset in (("banned", 0), ("not banned", 1)):
        count, took = looks(made, offset)
        found += count
        verdict = "kept" if median(took) <= MOST else "missed"
        print(f"| {what} | {count:,} | {median(took):.1f} | {max(took):.1f} | {MOST:.0f}: {verdict} |")
    return 0 if found >= ROUNDS * LOOKS * 0.999 else 1
