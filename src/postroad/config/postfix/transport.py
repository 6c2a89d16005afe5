"""Postfix's transports as next hops (pure): `smtp:[host]:port`, `lmtp:unix:path`, `error:text`, and what has none.

A host without brackets is looked up by MX, as Postfix does; a port with it cannot be had at the same time.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from postroad.model.reply import Reply

_PORTS: Final = MappingProxyType({"smtp": 25, "submission": 587, "lmtp": 24})
_SMTP: Final = frozenset(("smtp", "relay"))


class Target(Struct, frozen=True):
    """What a route does: `hops`, or `then`; `doubt` says what is not as it was; neither is set when it cannot be."""

    hops: tuple[str, ...] = ()
    then: object = None
    doubt: str = ""


def target_of(text: str, commands: Mapping[str, str], queue_folder: str) -> Target:
    """The target of "transport:nexthop"; `commands` are those of the services in master.cf by name."""
    transport, _, nexthop = text.partition(":")
    command = commands.get(transport, transport)
    if transport in _SMTP or command == "smtp" or not transport:
        hops, doubt = _smtp(nexthop)
        own = "" if transport in {*_SMTP, ""} else f"the options of the service {transport} in master.cf"
        return Target(hops, None, "; ".join(filter(None, (doubt, own))))
    if command == "lmtp":
        return _lmtp(nexthop, queue_folder)
    if command == "error":
        return Target(then={"fail": _failure(nexthop)})
    if command == "discard":
        return Target(then="discard")
    return Target(doubt=f"the transport {transport} ({command})")


def relay_hops(text: str) -> tuple[tuple[str, ...], str]:
    """The hops of `relayhost` or of a transport's nexthop, which may be a list, and what is in doubt."""
    return _smtp(text)


def _smtp(nexthop: str) -> tuple[tuple[str, ...], str]:
    if not nexthop:
        return ("mx",), ""
    hops: list[str] = []
    doubts: list[str] = []
    for item in nexthop.replace(",", " ").split():
        hop, doubt = _smtp_one(item)
        hops += [hop] if hop else []
        doubts += [doubt] if doubt else []
    return tuple(hops), "; ".join(doubts)


def _smtp_one(item: str) -> tuple[str, str]:
    if item.startswith("["):
        host, _, port = item[1:].partition("]")
        host = host.removeprefix("ipv6:").removeprefix("IPv6:")
        number = _port(port.lstrip(":") or "smtp")
        place = f"[{host}]" if ":" in host else host
        return (f"smtp://{place}:{number}", "") if number else ("", f"the port in {item}")
    host, _, port = item.partition(":")
    if not port:
        return f"mx:{host}", ""
    number = _port(port)
    if not number:
        return "", f"the port in {item}"
    return f"smtp://{host}:{number}", f"the MX look-up of {item}, for its port"


def _lmtp(nexthop: str, queue_folder: str) -> Target:
    if nexthop.startswith("unix:"):
        path = nexthop.removeprefix("unix:")
        return Target((f"lmtp://{path if path.startswith('/') else f'{queue_folder}/{path}'}",))
    place = nexthop.removeprefix("inet:")
    host, colon, port = place.rpartition(":") if not place.endswith("]") else (place, "", "")
    if not colon:
        host, port = place, "lmtp"
    host = host.strip("[]")
    number = _port(port)
    if not host or not number:
        return Target(doubt=f"lmtp:{nexthop}")
    return Target((f"lmtp://{f'[{host}]' if ':' in host else host}:{number}",))


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 5:
        return int(text) if 0 < int(text) < 65536 else 0
    return _PORTS.get(text, 0)


def _failure(text: str) -> str:
    """The reply of `error:text`, which may begin with an enhanced code."""
    code, _, rest = text.strip().partition(" ")
    parts = code.split(".")
    is_code = len(parts) == 3 and parts[0] == "5" and all(part.isdigit() and len(part) <= 3 for part in parts)
    words = (rest if is_code else text).strip() or "mail for this address is not taken"
    shown = "".join(sign if sign.isascii() and sign.isprintable() else "?" for sign in words)[:200]
    return str(Reply(550, code if is_code else "5.0.0", shown))
