"""The command line of `postroad-sendmail`: the options of Postfix's sendmail, which are those of Sendmail.

What programs pass out of habit is taken and ignored as Postfix does. `OPTIONS` feeds the reference page, and a
test holds it against the parser.
"""

from collections.abc import Mapping
from enum import Enum
from getopt import GetoptError, gnu_getopt
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec import Struct

from postroad.model.envelope import BODY_7BIT, BODY_8BITMIME, NOTIFY_DELAY, NOTIFY_FAILURE, NOTIFY_NEVER, NOTIFY_SUCCESS

OPTIONS: Final = (
    ("-t", "Take the recipients from To, Cc and Bcc, beside those on the command line."),
    ("-i, -oi", "A line with a lone dot is content; without it, it ends the message."),
    ("-f ADDRESS, -r ADDRESS", "The sender; by default the user at our host name. `''` or `<>` is the null sender."),
    ("-F NAME", "Full name for a From field that is added; by default $NAME, then the user's own."),
    ("-N WHEN", "When to report: `never`, or some of `success,failure,delay` (NOTIFY of RFC 3461)."),
    ("-R WHAT", "What a report returns: `full` or `hdrs` (RET of RFC 3461)."),
    ("-V ID", "Envelope id for reports (ENVID of RFC 3461)."),
    ("-B TYPE, -o7, -o8", "`7BIT` or `8BITMIME`."),
    ("-C FILE", "Configuration file; by default /etc/postroad/postroad.toml."),
    ("-v", "Say as what the message was dropped."),
    ("-bm", "Send a message from standard input: the default."),
    ("-bs", "Speak SMTP on standard input and output; every message is dropped."),
    ("-bp", "List the queue, as `postroad-mailq` does."),
    ("-bv", "Send nothing: say for each recipient where mail for it would go."),
    ("-bi, -I", "Nothing: tables of aliases are read from their text files."),
    ("-q, -qTIME", "Try everything that waits now, as `postroad-postqueue -f` does."),
    ("-qIID, -qRSITE, -qSSITE", "Try one message, or the mail for one domain."),
    ("-G", "The message comes from elsewhere: no field is added to it."),
    ("-A, -L, -O, -U, -X, -c, -e, -h, -m, -n, -o, -p, -x", "Taken and ignored, with their values."),
)
_SHORT: Final = "A:B:C:F:GIL:N:O:R:UV:X:b:ce:f:h:imno:p:r:q:tvx"
_NOTIFY: Final = {"success": NOTIFY_SUCCESS, "failure": NOTIFY_FAILURE, "delay": NOTIFY_DELAY}.items()
_REFUSED: Final = frozenset("dDlhH")  # modes that are a daemon's, or about one


class Mode(Enum):
    """What sendmail is to do."""

    MAIL = "m"
    SMTP = "s"
    LIST = "p"
    VERIFY = "v"
    ALIASES = "i"
    FLUSH = "q"


class UsageError(ValueError):
    """The command line is wrong, and how."""


class Wanted(Struct, frozen=True, kw_only=True):
    """The command line, understood. `sender` is None when none was given; `flush` is for postqueue."""

    mode: Mode = Mode.MAIL
    recipients: tuple[str, ...] = ()
    from_header: bool = False
    dots: bool = False
    gateway: bool = False
    sender: str | None = None
    name: str | None = None
    notify: int = 0
    ret: str = ""
    envid: str = ""
    body: str = BODY_7BIT
    config: str = ""
    verbose: bool = False
    flush: tuple[str, ...] = ()


_FLAGS: Final[Mapping[str, Mapping[str, object]]] = MappingProxyType(
    {
        "-t": {"from_header": True},
        "-i": {"dots": True},
        "-G": {"gateway": True},
        "-v": {"verbose": True},
        "-I": {"mode": Mode.ALIASES},
    }
)
_VALUES: Final = MappingProxyType({"-f": "sender", "-r": "sender", "-F": "name", "-V": "envid", "-C": "config"})


def understand(arguments: list[str]) -> Wanted:
    """What `arguments` ask for; UsageError when they make no sense."""
    is_flush = "-q" in arguments  # the one option whose value may be missing
    try:
        options, recipients = gnu_getopt([word for word in arguments if word != "-q"], _SHORT)
    except GetoptError as error:
        raise UsageError(error.msg) from error
    wanted = Wanted(recipients=tuple(recipients), mode=Mode.FLUSH if is_flush else Mode.MAIL)
    for option, value in options:
        changes = _changes(option, value)
        if changes:
            wanted = msgspec.structs.replace(wanted, **changes)
    return wanted


def _changes(option: str, value: str) -> dict[str, object]:
    if option in _FLAGS:
        return dict(_FLAGS[option])
    if option in _VALUES:
        return {_VALUES[option]: value}
    match option:
        case "-N":
            return {"notify": _notify(value)}
        case "-R":
            return {"ret": _choice("-R", value.upper(), ("FULL", "HDRS"))}
        case "-B":
            return {"body": _choice("-B", value.upper(), (BODY_7BIT, BODY_8BITMIME))}
        case _:
            return _grouped(option, value)


def _grouped(option: str, value: str) -> dict[str, object]:
    """The options that are many: modes, Sendmail's own, and flushing."""
    match option, value[:1]:
        case "-b", mode if mode in _REFUSED:
            raise UsageError(f"-b{value}: the server is run by `postroad serve`")
        case "-b", _:
            return {"mode": Mode(_choice("-b", value, tuple(mode.value for mode in Mode if mode is not Mode.FLUSH)))}
        case "-o", "i" if value == "i":
            return {"dots": True}
        case "-o", "7" | "8":
            return {"body": BODY_7BIT if value == "7" else BODY_8BITMIME}
        case "-q", "I":
            return {"mode": Mode.FLUSH, "flush": ("-i", value[1:])}
        case "-q", "R" | "S":
            return {"mode": Mode.FLUSH, "flush": ("-s", value[1:])}
        case "-q", first if not first.isdigit():
            raise UsageError(f"-q{value}: say -q, -qI and a queue id, or -qR and a domain")
        case "-q", _:
            return {"mode": Mode.FLUSH}
        case _:
            return {}


def _choice(option: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise UsageError(f"{option}{value}: is none of {', '.join(choices)}")
    return value


def _notify(value: str) -> int:
    words = value.lower().split(",")
    if words == ["never"]:
        return NOTIFY_NEVER
    bits = [next((bit for name, bit in _NOTIFY if name == word.strip()), 0) for word in words]
    if not all(bits):
        raise UsageError(f"-N{value}: say never, or some of success,failure,delay")
    found = 0
    for bit in bits:
        found |= bit
    return found
