"""Runs by Debian's own Python, which has pyspf: a check a line comes in as JSON, what pyspf says goes out.

A line with a `field` is the value of a Received-SPF field, which pyspf reads.

Nothing of Postroad is imported here.
"""

import json
import sys

import spf  # type: ignore[import-not-found]  # Debian's python3-spf


def main() -> None:
    """Answer until the input ends."""
    for line in sys.stdin:
        case = json.loads(line)
        if "field" in case:
            read = spf.query(i="127.0.0.1", s="", h="")
            read.parse_header_spf(case["field"])
            told = [read.result, read.comment, read.r, read.ident, read.c, read.s, read.h, read.mechanism]
            print(json.dumps(told), flush=True)
            continue

        def look_up(
            name: object, kind: str, *_: object, zone: dict[str, dict[str, list[str]]] = case["zone"]
        ) -> object:
            records = zone.get(str(name).lower().rstrip("."), {}).get(kind, [])
            if kind == "MX":
                return [((name, kind), (int(text.split()[0]), text.split()[1])) for text in records]
            return [((name, kind), (text.encode("latin-1"),) if kind == "TXT" else text) for text in records]

        spf.DNSLookup = look_up
        query = spf.query(i=case["ip"], s=case["sender"], h=case["helo"], receiver="relay.example", strict=True)
        result, _, words = query.check()
        print(json.dumps([result, words]), flush=True)


main()
