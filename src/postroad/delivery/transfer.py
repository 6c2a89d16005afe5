"""Content on the wire: by DATA with dots stuffed, or by BDAT in chunks; small in one write, large in blocks.

Memory stays flat: one block at a time, and the next only when the peer took most of the last. A peer that
refuses while the content still flows is heard, and what it said before it closed counts as its reply.
RFC 5321 4.5.2, RFC 5321 4.5.3.2.5, RFC 3030 2.
"""

from typing import Final

from postroad.delivery.cargo import Cargo, read_block
from postroad.delivery.fit import Fit
from postroad.model.errors import PeerError
from postroad.net.stream import Stream
from postroad.smtp.stuffing import Stuffer, stuff
from postroad.smtp.transaction import Transaction

WAIT_FROM: Final = 64 * 1024  # less than this the socket takes at once, or within the time for the reply


async def send_content(stream: Stream, transaction: Transaction, fitted: Fit, *, block_timeout: float) -> None:
    """Send prefix and content to the end, or until the peer refuses.

    PeerError when it takes nothing for `block_timeout` seconds, SpoolError when the content cannot be read.
    """
    cargo = fitted.cargo
    if isinstance(cargo.content, bytes) or not cargo.content.size:
        send_small(stream, transaction, fitted)
        await _drain(stream, transaction, block_timeout)
    elif fitted.is_chunked:
        await _send_chunks(stream, transaction, cargo, block_timeout)
    else:
        await _send_stuffed(stream, transaction, cargo, block_timeout)


def send_small(stream: Stream, transaction: Transaction, fitted: Fit) -> None:
    """Send prefix and content that is in memory, whole, in one write."""
    cargo = fitted.cargo
    content = cargo.prefix + cargo.content if isinstance(cargo.content, bytes) else cargo.prefix
    stream.write(b"BDAT %d LAST\r\n%b" % (len(content), content) if fitted.is_chunked else stuff(content))
    transaction.content_sent()


async def read_some(stream: Stream, left: float, timeout: float) -> bytes:
    """What arrived, at least an octet; PeerError after `left` of the `timeout` seconds, or when the peer closed."""
    if left <= 0:
        raise PeerError(f"timed out after {timeout:g}s")
    try:
        data = await stream.read(left)
    except PeerError as error:  # what is left of the time is not what the option says
        raise PeerError(str(error).replace(f"{left:g}s", f"{timeout:g}s")) from None
    if not data:
        raise PeerError("lost connection")
    return data


async def _send_stuffed(stream: Stream, transaction: Transaction, cargo: Cargo, timeout: float) -> None:
    stuffer = Stuffer()
    stream.write(stuffer.feed(cargo.prefix))
    offset, size = 0, cargo.size - len(cargo.prefix)
    while offset < size:
        block = await read_block(cargo.content, offset)
        offset += len(block)
        stream.write(stuffer.feed(block))
        await _drain(stream, transaction, timeout)
        if await _is_refused(stream, transaction, timeout):
            return
    stream.write(stuffer.end())
    transaction.content_sent()


async def _send_chunks(stream: Stream, transaction: Transaction, cargo: Cargo, timeout: float) -> None:
    offset, size = 0, cargo.size - len(cargo.prefix)
    start = cargo.prefix
    while offset < size:
        block = await read_block(cargo.content, offset)
        offset += len(block)
        is_last = offset >= size
        stream.write(b"BDAT %d%b\r\n" % (len(start) + len(block), b" LAST" if is_last else b""))
        stream.write(start + block if start else block)
        start = b""
        if is_last:
            transaction.content_sent()
        else:
            transaction.chunk_sent()
        await _drain(stream, transaction, timeout)
        if await _is_refused(stream, transaction, timeout, wait=not (transaction.is_pipelined or is_last)):
            return


async def _is_refused(stream: Stream, transaction: Transaction, timeout: float, *, wait: bool = False) -> bool:
    """Take what the peer says while content flows; True when the transaction is over. `wait`: for the chunk's reply."""
    answered = transaction.answered
    while not transaction.ended and (not stream.is_open or (wait and transaction.answered == answered)):
        transaction.receive(await read_some(stream, timeout, timeout))
    return transaction.ended


async def _drain(stream: Stream, transaction: Transaction, timeout: float) -> None:
    try:
        await stream.drain(timeout)
    except PeerError:
        if stream.is_open:
            raise  # it takes nothing and says nothing
        # It may have refused before it closed; its words are worth more than "connection reset".
        while not transaction.ended:
            transaction.receive(await read_some(stream, timeout, timeout))
