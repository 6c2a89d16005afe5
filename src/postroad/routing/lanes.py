"""Lanes and next hops, as text and as values (*pure*): what a configuration and the queue's rows say.

The grammar is in model/route.py. What `format_lane` writes `parse_lane` reads back; whatever else stands in a lane is
a ValueError in words for people, since an earlier configuration, or an operator, may have written it.
"""

from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from types import MappingProxyType
from typing import Final
from urllib.parse import quote, unquote

from msgspec import Struct

from postroad.model.address import parse_domain
from postroad.model.errors import AddressError
from postroad.model.option import NEVER
from postroad.model.reply import Reply
from postroad.model.route import (
    CAPTURE,
    DISCARD,
    FAIL,
    FAILOVER,
    HOLD,
    LEAST_BUSY,
    LMTP,
    MX,
    ROUND_ROBIN,
    SMTP,
    SMTP_SRV,
    SMTPS,
    TLS_WORDS,
    WEIGHTED,
    Fallback,
    NextHop,
)

BALANCES: Final = (FAILOVER, ROUND_ROBIN, WEIGHTED, LEAST_BUSY)
WEIGHT_LIMIT: Final = 1000
HELD_LIMIT: Final = 200  # characters of why a policy holds a message: it is part of the lane
TEXT_LIMIT: Final = 400  # octets of the text of a failure: with its codes it fits a reply line (RFC 5321 4.5.3.1.5)
_DEFAULT_PORTS: Final = MappingProxyType(
    {SMTP: 25, SMTPS: 465, LMTP: 24}
)  # RFC 5321 4.5.4.2, RFC 8314 7.3, and the port LMTP servers take by custom (RFC 2033 5)
_FORMS: Final = (
    '"smtp://host:port", "smtps://host:port", "smtp+srv://name", "lmtp://host:port", "lmtp:///path", "mx" or "capture:"'
)
_READABLE: Final = ":/,*[]@+"  # what a lane inside a lane need not encode


class LaneSpec(Struct, frozen=True):
    """A lane, read: next hops and how they are used, or what is done instead of sending.

    `action` is HOLD, DISCARD or FAIL, then `words` is the route's name, for FAIL the reply, for what a policy holds the
    reason in parentheses; `after` and `on` belong to `fallback`, a lane. `tls` is "" or one of TLS_WORDS.
    """

    hops: tuple[NextHop, ...] = ()
    balance: str = FAILOVER
    source: str = ""
    fallback: Fallback | None = None
    action: str = ""
    words: str = ""
    tls: str = ""


def parse_lane(lane: str) -> LaneSpec:
    """What `lane` says; ValueError when it names no next hop, or something else."""
    scheme, colon, rest = lane.partition(":")
    if colon and scheme in (HOLD, DISCARD):
        return LaneSpec(action=scheme, words=rest)
    if colon and scheme == FAIL:
        parse_failure(rest)
        return LaneSpec(action=FAIL, words=rest)
    texts, _, options = lane.partition("?")
    hops = tuple(map(_parse_weighted, texts.split(",")))
    return _with_options(hops, options) if options else LaneSpec(hops)


def format_lane(spec: LaneSpec) -> str:
    """The text of `spec`, as short as can be: defaults are left out."""
    if spec.action:
        return f"{spec.action}:{spec.words}"
    text = ",".join(str(hop) if hop.weight == 1 else f"{hop}*{hop.weight}" for hop in spec.hops)
    options = []
    if spec.balance != FAILOVER:
        options.append(f"balance={spec.balance}")
    if spec.source:
        options.append(f"source={quote(spec.source, safe='')}")
    if spec.fallback is not None:
        after = "never" if spec.fallback.after == NEVER else f"{spec.fallback.after:.12g}"
        options += [f"fallback={quote(spec.fallback.lane, safe=_READABLE)}", f"after={after}"]
        options += [f"on={','.join(spec.fallback.on)}"] * bool(spec.fallback.on)
    options += [f"tls={spec.tls}"] * bool(spec.tls)
    return f"{text}?{'&'.join(options)}" if options else text


def held_lane(why: str) -> str:
    """The lane of mail that a policy holds, with its reason as far as it fits."""
    words = "".join(sign if sign.isprintable() else " " for sign in why[:HELD_LIMIT])
    return f"{HOLD}:({words})"


@lru_cache(maxsize=4096)  # a pure function of its argument; asked for each recipient that is to have TLS
def with_tls(lane: str, word: str) -> str:
    """`lane` for mail that asks for TLS by `word`, its fallback too; one that sends to no host is as it was."""
    try:
        spec = parse_lane(lane)
    except ValueError:
        return lane
    if all(hop.scheme == CAPTURE for hop in spec.hops):
        return lane
    fallback = spec.fallback
    if fallback is not None:
        fallback = Fallback(with_tls(fallback.lane, word), fallback.after, fallback.on)
    return format_lane(LaneSpec(spec.hops, spec.balance, spec.source, fallback, tls=word))


def lane_named(text: str) -> str:
    """The lane that an operator names: next hops as in the configuration, "mx" alone for each recipient's own domain.

    ValueError tells what is wrong.
    """
    if text == MX:
        return MX
    spec = parse_lane(text)
    if spec.action:
        raise ValueError(f'"{spec.action}:" leads nowhere; there are orders to hold, fail and drop mail')
    if any(hop.scheme == MX and not hop.host for hop in spec.hops):
        raise ValueError('"mx" stands alone; "mx:example.net" is the MX of a domain')
    return format_lane(spec)


def fallback_of(lane: str) -> Fallback | None:
    """Where recipients of `lane` go on when it does not deliver; None for most lanes, at the price of a look."""
    return _fallback(lane) if "fallback=" in lane else None


@lru_cache(maxsize=4096)  # a pure function of its argument; a queue has few lanes with a fallback
def _fallback(lane: str) -> Fallback | None:
    try:
        return parse_lane(lane).fallback
    except ValueError:
        return None


def parse_failure(text: str) -> Reply:
    """The reply of "550 5.7.1 text"; ValueError tells what is wrong with it."""
    code, _, rest = text.partition(" ")
    enhanced, _, words = rest.partition(" ")
    parts = enhanced.split(".")
    if not (code.isascii() and code.isdigit() and len(code) == 3 and code[0] == "5"):
        raise ValueError('a failure is written "550 5.7.1 text": a code from 500 to 599 first')
    if len(parts) != 3 or parts[0] != "5" or not all(_is_part(part) for part in parts):
        raise ValueError(f'a failure is written "{code} 5.7.1 text": an enhanced code of class 5 second (RFC 3463 2)')
    if not words.strip() or words != words.strip() or not words.isprintable() or len(words.encode()) > TEXT_LIMIT:
        raise ValueError(
            f'a failure is written "{code} {enhanced} text": a text of 1 to {TEXT_LIMIT} octets without control '
            "characters last"
        )
    return Reply(int(code), enhanced, words)


def parse_code(text: str) -> str:
    """`text`, a code of deferrals or the beginning of some, "4.4.1" or "4.7."; ValueError when it is none."""
    head, *parts = text.split(".")
    if head == "4" and 0 < len(parts) < 3 and all(map(_is_part, parts[:-1])):
        last = parts[-1]
        if last == "" or (len(parts) == 2 and _is_part(last)):
            return text
    raise ValueError('write an enhanced code of a deferral, "4.4.1", or its beginning, "4.7." (RFC 3463 2)')


def _is_part(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 3


def _with_options(hops: tuple[NextHop, ...], options: str) -> LaneSpec:
    found: dict[str, str] = {}
    for option in options.split("&"):
        key, _, value = option.partition("=")
        if key not in ("balance", "source", "fallback", "after", "on", "tls") or key in found or not value:
            raise ValueError(f'"{option}" is no option of a lane')
        found[key] = value
    balance = found.get("balance", FAILOVER)
    if balance not in BALANCES:
        raise ValueError(f'"{balance}" is no way to balance')
    tls = found.get("tls", "")
    if tls and tls not in TLS_WORDS:
        raise ValueError(f'"tls={tls}" says nothing; write "tls={TLS_WORDS[0]}"')
    return LaneSpec(hops, balance, unquote(found.get("source", "")), _parse_fallback(found), tls=tls)


def _parse_fallback(found: dict[str, str]) -> Fallback | None:
    if "fallback" not in found:
        if "after" in found or "on" in found:
            raise ValueError("there is no fallback for its options")
        return None
    lane, after = unquote(found["fallback"]), found.get("after", "")
    parse_lane(lane)
    on = tuple(map(parse_code, found["on"].split(","))) if "on" in found else ()
    if after == "never":
        return Fallback(lane, NEVER, on)
    whole, _, part = after.partition(".")
    if not (after.isascii() and whole.isdigit() and (part.isdigit() or not part)):
        raise ValueError(f'"{after}" is no number of seconds')
    return Fallback(lane, float(after), on)


def _parse_weighted(text: str) -> NextHop:
    """A next hop of a lane, "smtp://b:25*3"."""
    name, mark, weight = text.rpartition("*")
    if not mark:
        return parse_next_hop(text)
    if not (weight.isascii() and weight.isdigit() and 0 < int(weight[:6]) <= WEIGHT_LIMIT):
        raise ValueError(f'"{weight}" is no weight between 1 and {WEIGHT_LIMIT}')
    hop = parse_next_hop(name)
    return NextHop(hop.scheme, hop.host, hop.port, hop.path, int(weight))


def parse_next_hop(text: str) -> NextHop:
    """The next hop that `text` names in the configuration or in a lane; ValueError tells what is wrong with it.

    "mx" stands for the recipient's domain; "mx:example.net" is the form with the domain filled in, and
    may be written to send mail by way of another domain's MX.
    """
    if text in (MX, f"{MX}:"):
        return NextHop(MX)
    if text == f"{CAPTURE}:":
        return NextHop(CAPTURE)
    scheme, mark, rest = text.partition("://")
    if not mark:
        if text.startswith(f"{MX}:"):
            return NextHop(MX, _domain(text[len(MX) + 1 :]))
        raise ValueError(f'a next hop is written {_FORMS}; did you mean "smtp://{text}"?' if text else "it is empty")
    if scheme == SMTP_SRV:
        return _parse_service(rest)
    if scheme not in _DEFAULT_PORTS:
        raise ValueError(f'"{scheme}://" is not known; a next hop is written {_FORMS}')
    if scheme == LMTP and rest.startswith("/"):
        return _parse_socket(rest)
    host, port = _split_port(rest, scheme)
    return NextHop(scheme, host, port)


def _parse_service(rest: str) -> NextHop:
    if ":" in rest and not rest.startswith("["):
        raise ValueError(f"the SRV record names the port; write smtp+srv://{rest.partition(':')[0]}")
    if not rest or rest.startswith("[") or rest.rpartition(".")[2].isdigit():
        raise ValueError("an SRV record is looked up by a domain's name; write smtp+srv://example.com")
    return NextHop(SMTP_SRV, _domain(rest))


def _parse_socket(path: str) -> NextHop:
    if set(path) & set(",?*") or not path.isprintable():
        raise ValueError("the path of a socket may hold no comma, question mark, asterisk or control character")
    if path.endswith("/"):
        raise ValueError(f'"{path}" is a folder, not a socket')
    return NextHop(LMTP, path=path)


def _split_port(rest: str, scheme: str) -> tuple[str, int]:
    """Host and port of `host`, `host:port`, `[v6]` or `[v6]:port`."""
    if "@" in rest:
        raise ValueError("user and password in a next hop are not supported")
    if "/" in rest:
        raise ValueError(f'"/{rest.partition("/")[2]}" behind the host has no meaning')
    if rest.startswith("["):
        inner, bracket, tail = rest[1:].partition("]")
        if not bracket or (tail and not tail.startswith(":")):
            raise ValueError('an IPv6 address is written "[2001:db8::1]:port"')
        host, port_text = _ipv6(inner), tail[1:] if tail else None
    elif rest.count(":") > 1:
        raise ValueError(f'an IPv6 address goes in brackets: "{scheme}://[{rest}]"')
    else:
        name, colon, tail = rest.partition(":")
        host, port_text = _host(name), tail if colon else None
    if port_text is None:
        return host, _DEFAULT_PORTS[scheme]
    if not (port_text.isascii() and port_text.isdigit() and 0 < int(port_text) <= 65535):
        raise ValueError(f'"{port_text}" is no port between 1 and 65535')
    return host, int(port_text)


def _ipv6(text: str) -> str:
    try:
        return str(IPv6Address(text))
    except (AddressValueError, ValueError):
        raise ValueError(f'"{text}" is no IPv6 address') from None


def _host(text: str) -> str:
    text = text.removesuffix(".")
    if not text or text.endswith("."):
        raise ValueError("it has no host")
    if not text.rpartition(".")[2].isdigit():  # no top-level domain is a number, so this is meant as an address
        return _domain(text)
    try:
        return str(IPv4Address(text))
    except (AddressValueError, ValueError):
        raise ValueError(f'"{text}" is no IPv4 address') from None


def _domain(text: str) -> str:
    try:
        return parse_domain(text)
    except AddressError as error:
        raise ValueError(str(error)) from None
