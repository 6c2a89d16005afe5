"""The `capture:` target: each message becomes one .eml file in a folder, for trying out and for staging.

A file appears whole or not at all: it is written under a hidden name, synced, renamed. Its name is the
arrival time and the queue id, so an attempt that is repeated after a crash replaces its own file. Ahead of
the content stand Return-Path (RFC 5321 4.4) and X-Envelope-To. All disk work is done in a thread.
"""

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from postroad.delivery.cargo import Cargo, read_block
from postroad.model.errors import SpoolError
from postroad.model.outcome import Deferred, Delivered, Outcome, Scope
from postroad.model.queueid import is_queue_id
from postroad.model.reply import Reply
from postroad.model.route import Target
from postroad.model.work import Work


async def capture(folder: Path, cargo: Cargo, works: Sequence[Work], target: Target) -> Outcome:
    """Write the message for `works` into `folder`; a deferral when it cannot be read or the disk does not take it."""
    path = folder / _file_name(cargo, works[0].index)
    head = _head(cargo, works)
    content = cargo.content
    try:
        if isinstance(content, bytes):
            await asyncio.to_thread(_write_whole, path, head + content)
        else:
            await _write_blocks(path, head, cargo)
    except SpoolError as error:
        return Deferred(Reply(451, "4.3.0", f"content cannot be read: {error}"), Scope.MESSAGE, target)
    except OSError as error:
        return Deferred(Reply(451, "4.3.0", f"cannot write {path.name}: {error.strerror or error}"), Scope.HOST, target)
    return Delivered(Reply(250, "2.0.0", f"captured as {path.name}"), target)


def _file_name(cargo: Cargo, index: int) -> str:
    envelope = cargo.envelope
    assert is_queue_id(envelope.id), "a queue id is safe as a file's name"
    arrived = datetime.fromtimestamp(envelope.arrived // 1_000_000, UTC)
    part = f"-{index}" if index else ""  # another part of the same message's recipients
    return f"{arrived:%Y%m%dT%H%M%SZ}-{envelope.id}{part}.eml"


def _head(cargo: Cargo, works: Sequence[Work]) -> bytes:
    to = ",\r\n\t".join(work.recipient.address.text for work in works)
    return f"Return-Path: <{cargo.envelope.sender.text}>\r\nX-Envelope-To: {to}\r\n".encode() + cargo.prefix


def _write_whole(path: Path, octets: bytes) -> None:
    file = _create(path)
    try:
        file.write(octets)
        _publish(path, file)
    except BaseException:
        _abandon(path, file)
        raise


async def _write_blocks(path: Path, head: bytes, cargo: Cargo) -> None:
    file = await asyncio.to_thread(_create, path)
    try:
        await asyncio.to_thread(file.write, head)
        offset, size = 0, cargo.size - len(cargo.prefix)
        while offset < size:
            block = await read_block(cargo.content, offset)
            offset += len(block)
            await asyncio.to_thread(file.write, block)
        await asyncio.to_thread(_publish, path, file)
    except BaseException:
        _abandon(path, file)
        raise


def _create(path: Path) -> BinaryIO:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(_hidden(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    return os.fdopen(descriptor, "wb", buffering=0)


def _publish(path: Path, file: BinaryIO) -> None:
    os.fsync(file.fileno())
    file.close()
    _hidden(path).replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _abandon(path: Path, file: BinaryIO) -> None:
    file.close()
    _hidden(path).unlink(missing_ok=True)


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")
