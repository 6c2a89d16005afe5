"""Answers of the scripted DNS server (dnsscript.py) from a mapping, with faults on demand.

    async with serving(zones({("2.0.0.127.bl.test", "A"): ["127.0.0.2"]}, broken={"dead.test"})) as server:

A name with records of any type exists; all others are NXDOMAIN. What ends in a name of `broken` is SERVFAIL, what ends
in one of `silent` is not answered at all.
"""

from collections.abc import Collection, Mapping, Sequence

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.support.dnsscript import Script


def zones(
    records: Mapping[tuple[str, str], Sequence[str]], *, broken: Collection[str] = (), silent: Collection[str] = ()
) -> Script:
    """A script that answers from `records`, which may be changed while it runs."""

    def answer(question: dns.message.Message) -> list[dns.message.Message | bytes]:
        asked = question.question[0]
        name, kind = asked.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(asked.rdtype)
        if any(name.endswith(one) for one in silent):
            return []
        response = dns.message.make_response(question)
        response.flags |= dns.flags.RA
        values = records.get((name, kind), ())
        if any(name.endswith(one) for one in broken):
            response.set_rcode(dns.rcode.SERVFAIL)
        elif values:
            response.answer.append(dns.rrset.from_text(asked.name, 300, "IN", kind, *values))
        else:  # RFC 2308 3: the SOA tells how long to remember that there is nothing
            response.authority.append(
                dns.rrset.from_text(".", 300, "IN", "SOA", "ns. hostmaster. 1 3600 600 86400 300")
            )
            if not any(owner == name for owner, _ in records):
                response.set_rcode(dns.rcode.NXDOMAIN)
        return [response]

    return answer
