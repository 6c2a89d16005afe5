"""`postroad-sendmail`: mail from programs of this machine, as every program knows to hand it over.

It needs neither rights nor the server: a message becomes a drop, which the server takes in when it runs. 0 means that
the drop is durable; 75 that the caller should try again. Other modes list the queue, flush it, or speak SMTP.
"""

import contextlib
import os
import pwd
import secrets
import sys
from collections.abc import Iterator
from email.utils import formatdate
from typing import BinaryIO, Final

from postroad.cli.exits import CONFIG, DATA, IO_ERROR, OK, TEMPORARY, UNAVAILABLE, USAGE, complain_as
from postroad.cli.options import system_file
from postroad.cli.postfix import postqueue
from postroad.cli.postfix.dropplace import Place, find_place
from postroad.cli.postfix.header import Author, completed, read_fields, recipients_in
from postroad.cli.postfix.options import Mode, UsageError, Wanted, understand
from postroad.cli.postfix.smtp import Dropper, speak
from postroad.cli.postfix.verify import verify
from postroad.message.addresslist import addresses
from postroad.model.address import NULL_PATH, Mailbox, parse_mailbox
from postroad.model.errors import AddressError, ConfigError, PostroadError
from postroad.net.clock import SystemClock
from postroad.smtp.client import encode_xtext
from postroad.smtp.events import MailFrom, RcptTo

NAME: Final = "postroad-sendmail"
_LINE: Final = 64 << 10  # octets read at once; longer lines come in parts


def main() -> None:
    """Do what this process's command line asks for."""
    sys.exit(run(sys.argv[1:], sys.stdin.buffer, sys.stdout.buffer))


def run(arguments: list[str], stdin: BinaryIO, stdout: BinaryIO) -> int:
    """Do what `arguments` ask for; the exit code."""
    try:
        return _do(understand(arguments), stdin, stdout)
    except UsageError as error:
        code, words = USAGE, str(error)
    except AddressError as error:
        code, words = DATA, str(error)
    except ConfigError as error:
        code, words = CONFIG, str(error)
    except PostroadError as error:
        code, words = UNAVAILABLE, str(error)
    except BrokenPipeError:
        return IO_ERROR
    except OSError as error:  # no room, no folder yet, no permission: all may be better soon
        code, words = TEMPORARY, f"{error.filename or 'the message'}: {error.strerror or error}{_advice(error)}"
    complain_as(NAME, words)
    return code


def _advice(error: OSError) -> str:
    """What to do about it."""
    match error:
        case PermissionError():
            return "; drops.folder must be a folder that every user who sends can reach"
        case FileNotFoundError():
            return "; the server makes the folder of drops when it is started for the first time"
        case _:
            return ""


def _do(wanted: Wanted, stdin: BinaryIO, stdout: BinaryIO) -> int:
    config = system_file(wanted.config)
    file = ["-c", wanted.config] if wanted.config else []
    match wanted.mode:
        case Mode.ALIASES:
            return OK
        case Mode.LIST:
            return postqueue.run([*file, "-p"])
        case Mode.FLUSH:
            return postqueue.run([*file, *wanted.flush] if wanted.flush else [*file, "-f"])
        case Mode.VERIFY:
            return verify(config, _command_line(wanted, find_place(config).hostname))
        case Mode.SMTP:
            place = find_place(config)
            return speak(place, stdin, stdout)
        case Mode.MAIL:
            return send(wanted, find_place(config), stdin)


def send(wanted: Wanted, place: Place, stdin: BinaryIO) -> int:
    """Drop the message on `stdin`."""
    given = _command_line(wanted, place.hostname)
    if not given and not wanted.from_header:
        raise UsageError("recipients must be on the command line, or in the header with -t")
    sender = _sender(wanted, place.hostname)
    lines = input_lines(stdin, dots=wanted.dots)
    fields, behind = read_fields(lines, place.limits.header_size)
    if wanted.from_header:
        given += [_mailbox(address, place.hostname) for address in recipients_in(fields)]
        if not given:
            raise UsageError("no recipient in the header, and none on the command line")
    header = completed(fields, None if wanted.gateway else _author(wanted, sender, place.hostname))
    mail = MailFrom(
        sender,
        body=wanted.body,
        smtputf8=any(mailbox.needs_utf8 for mailbox in (sender, *given)),
        ret=wanted.ret,
        envid=encode_xtext(wanted.envid)[:100],
    )
    recipients = [RcptTo(mailbox, wanted.notify) for mailbox in dict.fromkeys(given)]
    with Dropper(place, mail, recipients) as dropper:
        dropper.write(header)
        dropper.write(b"\r\n")
        if behind != b"\r\n":
            dropper.write(behind)
        for line in lines:
            dropper.write(line)
        if dropper.is_too_big:
            complain_as(NAME, f"the message is larger than limits.message_size, {place.limits.message_size} octets")
            return UNAVAILABLE
        names = dropper.commit()
    if wanted.verbose:
        complain_as(NAME, f"dropped as {', '.join(names)}")
    return OK


def input_lines(stream: BinaryIO, *, dots: bool) -> Iterator[bytes]:
    """The message's lines with CRLF, until its end or a lone dot, unless `dots` are content.

    A CR alone becomes a space and NUL goes: nobody can smuggle a line in. Very long lines come in parts.
    """
    is_start = True
    while line := stream.readline(_LINE):
        while line.endswith(b"\r") and (more := stream.read(1)):
            line += more
        is_whole = line.endswith(b"\n")
        text = line[:-1].rstrip(b"\r") if is_whole else line
        if is_start and not dots and text == b"." and (is_whole or len(line) == 1):
            return
        text = text.replace(b"\0", b"").replace(b"\r", b" ")
        is_start = is_whole
        yield text + b"\r\n" if is_whole else text
    if not is_start:
        yield b"\r\n"


def _command_line(wanted: Wanted, hostname: str) -> list[Mailbox]:
    return [_mailbox(address, hostname) for word in wanted.recipients for address in addresses(word) if address]


def _sender(wanted: Wanted, hostname: str) -> Mailbox:
    if wanted.sender is None:
        return _mailbox(_user().pw_name, hostname)
    found = addresses(wanted.sender)
    return _mailbox(found[0], hostname) if found and found[0] else NULL_PATH


def _mailbox(address: str, hostname: str) -> Mailbox:
    try:
        return parse_mailbox(address if "@" in address else f"{address}@{hostname}")
    except AddressError as error:
        raise AddressError(f"{address!r} is no address: {error}") from None


def _author(wanted: Wanted, sender: Mailbox, hostname: str) -> Author:
    now = SystemClock().now()
    moment = f"{formatdate(now / 1_000_000, usegmt=False)}"
    name = wanted.name if wanted.name is not None else os.environ.get("NAME") or _full_name()
    return Author(
        address=sender.text or f"MAILER-DAEMON@{hostname}",
        name="" if sender.is_null else name,
        date=moment.replace("-0000", "+0000"),
        message_id=f"<{now}.{secrets.token_hex(6)}@{hostname}>",
    )


def _user() -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(os.getuid())
    except KeyError:
        raise UsageError(f"user {os.getuid()} has no name on this machine; name a sender with -f") from None


def _full_name() -> str:
    with contextlib.suppress(UsageError):
        user = _user()
        return user.pw_gecos.partition(",")[0].replace("&", user.pw_name.capitalize())
    return ""
