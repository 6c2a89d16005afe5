"""How data looks to people: sizes, times, and the queue as `mailq` taught them to read it (pure).

Times of day are local; `now` is a parameter. What a peer said is printed with everything unprintable escaped, so
that nobody steers the terminal of whoever looks.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from postroad.model.envelope import Envelope
from postroad.model.suspension import Suspension
from postroad.model.trail import attempts_of
from postroad.model.work import Status
from postroad.observe.formats.lines import plural
from postroad.queue.times import NEVER
from postroad.spool.listing import Listed, ListedRecipient, Stats

Stopped = Callable[[str], Suspension | None]

_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "m"))
_MICROSECONDS: Final = 1_000_000


def never(_lane: str) -> Suspension | None:
    """Where nothing is known of suspensions."""
    return None


def size_text(octets: int) -> str:
    """About how much, in four characters or five: "812", "4.1K", "25M"."""
    size = float(octets)
    for unit in ("", "K", "M", "G"):
        if size < 1000:
            return f"{size:.1f}{unit}" if unit and size < 9.95 else f"{size:.0f}{unit}"
        size /= 1024
    return f"{size:.1f}T"


def moment_text(at: int) -> str:
    """The local time of microseconds since 1970, to the second."""
    return f"{datetime.fromtimestamp(at // _MICROSECONDS, tz=UTC).astimezone():%Y-%m-%d %H:%M:%S}"


def span_text(microseconds: int) -> str:
    """About how long, in its largest unit: "35s", "4m", "3d"."""
    seconds = max(microseconds, 0) // _MICROSECONDS
    for factor, unit in _UNITS:
        if seconds >= factor:
            return f"{seconds // factor}{unit}"
    return f"{seconds}s"


def printable(text: str) -> str:
    """`text` with whatever does not print as an escape."""
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def state_text(recipient: ListedRecipient, now: int, stopped: Suspension | None = None) -> str:
    """What a recipient is doing: "pending, next try in 4m, after 2 tries"; `stopped` is what an operator stopped."""
    tries = (
        f", after {recipient.attempts} {'try' if recipient.attempts == 1 else 'tries'}" if recipient.attempts else ""
    )
    if recipient.status is not Status.PENDING:
        return f"{recipient.status.name.lower()}{tries}"
    if recipient.leased:
        return f"pending, in the server's hands{tries}"
    if stopped is not None:
        until = "it is resumed" if stopped.until >= NEVER else moment_text(stopped.until)
        return f"pending, {printable(stopped.words)} until {until}{tries}"
    when = "now" if recipient.due <= now else f"in {span_text(recipient.due - now)}"
    return f"pending, next try {when}{tries}"


def queue_head() -> str:
    """The two lines above a list: what stands for a message, what for each of its recipients."""
    return f"{'QUEUE ID':<14} {'SIZE':>5}  {'ARRIVED':<19}  SENDER\n    {'REASON':<11}  RECIPIENT"


def block_lines(
    message: Listed, now: int, stopped: Stopped = never, *, causes: Mapping[int, str] = MappingProxyType({})
) -> Iterator[str]:
    """One message of a list: a line for it, one or two for each recipient, with the cause of its wait by its number."""
    size = size_text(message.size)
    yield f"{message.id:<14} {size:>5}  {moment_text(message.arrived)}  <{printable(message.sender)}>"
    for recipient in message.recipients:
        state = state_text(recipient, now, stopped(recipient.lane))
        yield f"    {causes.get(recipient.index, ''):<11}  {printable(recipient.address)}  {state}"
        if recipient.reply:
            yield f"{'':<19}({printable(recipient.reply)})"


def total_line(stats: Stats, shown: int) -> str:
    """How much there is in all, and how much of it was shown."""
    if not stats.messages:
        return "The queue is empty."
    held = f", {stats.held} held" if stats.held else ""
    size = size_text(stats.octets) if stats.octets >= 1000 else plural(stats.octets, "octet")
    total = f"{plural(stats.messages, 'message')}, {size}"
    rest = "" if shown == stats.messages else f"; {shown} shown"
    return f"{total}; recipients: {stats.pending} pending{held}{rest}"


def message_lines(
    message: Listed, envelope: Envelope | None, now: int, *, stopped: Stopped = never, waits: Mapping[int, object]
) -> Iterator[str]:
    """Everything the queue knows about one message; without `envelope` when that cannot be read.

    `waits` says why each recipient, by its number, waits.
    """
    place = message.place
    yield f"queue id   {message.id}"
    yield f"sender     <{printable(message.sender)}>"
    yield f"size       {message.size} octets"
    yield f"arrived    {moment_text(message.arrived)}, {span_text(now - message.arrived)} ago"
    if envelope is None:
        yield "envelope   cannot be read: see postroad spool verify"
    else:
        origin = envelope.origin
        yield f"message-id {printable(envelope.message_id)}"
        yield f"came by    {origin.listener} from [{origin.ip}] {printable(origin.helo)} ({origin.protocol})"
        yield from _decided_lines(envelope)
    yield f"stored     journal {place.journal}, segment {place.segment}, offset {place.offset}, {place.length} octets"
    for recipient in message.recipients:
        yield ""
        yield f"recipient  {printable(recipient.address)}"
        yield f"state      {state_text(recipient, now, stopped(recipient.lane))}"
        if recipient.index in waits:
            yield f"waits      {waits[recipient.index]}"
        if recipient.status is Status.PENDING:
            yield f"next try   {moment_text(recipient.due)}"
        if recipient.deadline and not recipient.status.is_final:
            yield f"deadline   {moment_text(recipient.deadline)}"
        yield f"next hop   {printable(recipient.lane) or '(not known yet)'}{' (rerouted)' if recipient.moved else ''}"
        if recipient.warned:
            yield "delay      the sender was told"
        if recipient.reply:
            yield f"last reply {printable(recipient.reply)}"
        yield from trail_lines(recipient)


def _decided_lines(envelope: Envelope) -> Iterator[str]:
    """What policies decided when the message was accepted."""
    if envelope.tags:
        yield f"tags       {', '.join(map(printable, envelope.tags))}"
    if envelope.held:
        yield f"held       when it was accepted: {printable(envelope.held)}"
    if envelope.route:
        yield f"route      {printable(envelope.route)}, chosen by policy"
    if envelope.tls:
        yield "tls        required by policy"


def trail_lines(recipient: ListedRecipient) -> Iterator[str]:
    """The recipient's last attempts, oldest first, each with what was said by whom."""
    attempts = attempts_of(recipient.trail)
    left_out = recipient.attempts - len(attempts)
    if attempts and left_out > 0:
        yield f"attempts   {left_out} earlier ones are not kept"
    for attempt in attempts:
        where = f" {printable(attempt.target)}" if attempt.target else ""
        to = f" (in reply to {printable(attempt.command)})" if attempt.command else ""
        yield f"attempt    {moment_text(attempt.at)}{where}: {printable(attempt.reply)}{to}"


def header_lines(section: bytes) -> Iterator[str]:
    """A header section, for a terminal."""
    for line in section.decode("utf-8", "backslashreplace").splitlines():
        yield f"header     {printable(line.expandtabs())}"
