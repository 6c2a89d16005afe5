"""Do our names and addresses fit together as others will check them: hostname, addresses, reverse DNS, MX.

Many servers refuse or distrust a client without reverse DNS that leads back to it (RFC 1912 2.1), or one whose EHLO
name does not exist. Only public addresses are looked at: behind a gateway others see the gateway's.
"""

from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from postroad.doctor.around import Around
from postroad.doctor.finding import Finding, ok, problem, unknown, warning
from postroad.model.dns import MxRecord
from postroad.net.addresses import host_addresses

ABOUT: Final = "names"
MOST: Final = 20  # addresses and domains that are looked at


async def check_names(around: Around) -> AsyncIterator[Finding]:
    """Look at the hostname, then at each address that mail leaves from, then at the domains we take mail for."""
    hostname = around.config.hostname
    yield await _name(around, "hostname", hostname)
    addresses = _public(around)
    if not addresses:
        yield unknown(
            f"{ABOUT}: reverse DNS",
            "this host has no public address: others see that of a gateway",
            f"see that the gateway's address has reverse DNS that leads back to it, best as {hostname}",
        )
    for address, name in addresses.items():
        yield await check_reverse(around, address, name)
    domains = [domain for domain in around.config.access.relay_domains if not domain.startswith(("*", "["))]
    for domain in domains[:MOST]:
        yield await _exchange(around, domain)


async def _addresses(around: Around, name: str) -> tuple[set[IPv4Address | IPv6Address], str]:
    """All addresses of `name`, and why that may be too few."""
    found: set[IPv4Address | IPv6Address] = set()
    fault = ""
    for kind in ("A", "AAAA"):
        answer = await around.lookup(name, kind)
        if answer.is_temporary:
            fault = answer.status.value
        found |= {ip_address(text) for text in answer.records if isinstance(text, str)}
    return found, fault


async def _name(around: Around, option: str, name: str) -> Finding:
    about = f"{ABOUT}: {option}"
    if "." not in name:
        mend = f'write hostname = "relay.example.com" with your own domain: as "{name}" others cannot find us'
        return problem(about, f'"{name}" is no fully qualified name', mend)
    found, fault = await _addresses(around, name)
    if found:
        return ok(about, f"{name} has {', '.join(sorted(map(str, found)))}")
    if fault:
        return unknown(about, f"{name}: DNS does not tell: {fault}")
    return warning(
        about,
        f"{name} has no address in DNS",
        "add an A or AAAA record: many servers refuse a name in EHLO that has none",
    )


def _public(around: Around) -> dict[str, str]:
    """Addresses that others see, each with the name that we give from there."""
    config = around.config
    given = {
        str(address): source.ehlo or config.hostname for source in config.sources.values() for address in source.address
    }
    own = given or dict.fromkeys(host_addresses(), config.hostname)
    return dict([(text, name) for text, name in own.items() if ip_address(text).is_global][:MOST])


async def check_reverse(around: Around, address: str, name: str) -> Finding:
    """Does reverse DNS of `address` lead back, best by `name`, which we say in EHLO from there."""
    about = f"{ABOUT}: reverse DNS of {address}"
    answer = await around.lookup(ip_address(address).reverse_pointer, "PTR")
    names = [text for text in answer.records if isinstance(text, str)]
    if answer.is_temporary:
        return unknown(about, f"DNS does not tell: {answer.status.value}")
    who = "whoever gives you the address sets it"
    if not names:
        return problem(
            about, "there is none", f"have a PTR record set, to {name}: {who}; without one much mail is refused"
        )
    for text in names[:MOST]:
        found, _ = await _addresses(around, text)
        if ip_address(address) in found:
            if name in names:
                return ok(about, f"{text}, which leads back")
            return warning(about, f"{text}, which leads back, but we say {name} in EHLO", f"set it to {name}: {who}")
    return problem(
        about, f"{names[0]} does not lead back", f"give {names[0]} the address, or set the PTR record to {name}: {who}"
    )


async def _exchange(around: Around, domain: str) -> Finding:
    about = f"{ABOUT}: mail for {domain}"
    answer = await around.lookup(domain, "MX")
    if answer.is_temporary:
        return unknown(about, f"DNS does not tell: {answer.status.value}")
    hosts = [record.exchange for record in answer.records if isinstance(record, MxRecord)]
    if not hosts:
        return warning(
            about,
            "there is no MX record",
            f"if mail for {domain} is to come in here, add an MX record with {around.config.hostname}",
        )
    return ok(about, f"MX {', '.join(hosts)}")
