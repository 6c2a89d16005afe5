"""One message on its way out: prefix and content, and the forms of it that lesser peers can take.

The octets sent are the prefix and then the content as it was received, but for what the envelope cuts out; only a peer
without 8BITMIME or BINARYMIME makes another form necessary, made once and kept for the attempt. RFC 6152 3, RFC 3030 3.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from postroad.message.headers import header_section
from postroad.message.mime import is_line_text, to_quoted_printable
from postroad.model.content import Content, without
from postroad.model.envelope import Envelope, Recipient
from postroad.model.errors import SpoolError

BLOCK: Final = 256 * 1024  # octets of large content in memory at a time
_HEAD_LIMIT: Final = 4 * 1024 * 1024  # a header section that has not ended here is taken as one with octets above 127
_THREAD_FROM: Final = 64 * 1024  # conversion of more than this leaves the event loop alone

# Seven-bit lines of large content, or None where that cannot be done; the event loop goes on meanwhile.
Convert = Callable[[bytes], Awaitable[bytes | None]]


async def convert_in_thread(content: bytes) -> bytes | None:
    """A `Convert` that shares the interpreter with the event loop, which has to wait now and then."""
    return await asyncio.to_thread(to_quoted_printable, content)


class Cargo:
    """What is to be sent for one message: `prefix` and `content`, `size` octets together.

    `is_ascii`: no recipient's address needs SMTPUTF8.
    """

    __slots__ = (
        "_is_plain_head",
        "_line_text",
        "_seven_bit",
        "_was_converted",
        "content",
        "envelope",
        "is_ascii",
        "prefix",
        "recipients",
        "size",
    )

    def __init__(
        self, envelope: Envelope, recipients: Sequence[Recipient], content: Content, *, is_cut: bool = False
    ) -> None:
        """The message of `envelope` for those of its `recipients` that this attempt is for.

        `is_cut`: what the envelope cuts out of the content is out already.
        """
        if envelope.cuts and not is_cut:
            content = without(content, envelope.cuts)
        self.envelope = envelope
        self.recipients = recipients
        addresses = [recipient.address.text for recipient in recipients]
        self.is_ascii = "".join(addresses).isascii()
        self.prefix = envelope.prefix.encode()
        self.content = content
        self.size = len(self.prefix) + (len(content) if isinstance(content, bytes) else content.size)
        self._was_converted = False
        self._seven_bit: Cargo | None = None
        self._line_text = False
        self._is_plain_head: bool | None = None

    async def seven_bit(self, convert: Convert = convert_in_thread) -> "Cargo | None":
        """The same message in seven-bit lines, or None where that cannot be done; large ones by `convert`."""
        if not self._was_converted:
            content = await self._whole()
            if len(content) > _THREAD_FROM:
                converted = await convert(content)
            else:
                converted = to_quoted_printable(content)
            self._line_text = is_line_text(content)
            if converted is not None:
                self._seven_bit = Cargo(self.envelope, self.recipients, converted, is_cut=True)
            self._was_converted = True
        return self._seven_bit

    async def is_line_text(self, convert: Convert = convert_in_thread) -> bool:
        """True when DATA can carry the content although it was announced as binary."""
        await self.seven_bit(convert)
        return self._line_text

    async def has_plain_header(self) -> bool:
        """True when no header field has octets above 127: a peer without SMTPUTF8 can take it (RFC 6531 3.2)."""
        if self._is_plain_head is None:
            self._is_plain_head = self.prefix.isascii() and (await self._head()).isascii()
        return self._is_plain_head

    async def _head(self) -> bytes:
        content = self.content
        if isinstance(content, bytes):
            return header_section(content)
        head = b""
        while len(head) < min(content.size, _HEAD_LIMIT):
            head += await read_block(content, len(head))
            if head.startswith(b"\r\n") or b"\r\n\r\n" in head:
                return header_section(head)
        return head if len(head) < _HEAD_LIMIT else b"\xff"

    async def _whole(self) -> bytes:
        content = self.content
        if isinstance(content, bytes):
            return content
        blocks: list[bytes] = []
        offset = 0
        while offset < content.size:
            blocks.append(await read_block(content, offset))
            offset += len(blocks[-1])
        return b"".join(blocks)


async def read_block(content: Content, offset: int) -> bytes:
    """The next block of `content`, never empty before its end; SpoolError when it is shorter than promised."""
    if isinstance(content, bytes):
        return content[offset : offset + BLOCK]
    block = await content.read(offset, min(BLOCK, content.size - offset))
    if not block:
        raise SpoolError(f"content ends at octet {offset} of {content.size}")
    return block
